"""What ``edge-seg tune`` varies, and in which steps: the one place where the search space is declared.

A *choice* says for each parameter how far it is turned down, as a level: 0 is the most that is searched. Levels mean
the same at every input size and for every recipe, so what a step costs in accuracy and saves in time can be
carried from one to the other. A *setting* is a choice in the values that ``edge-seg convert`` takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from edge_seg.errors import UsageError
from edge_seg.tuning import Setting, Size

PARAMETERS = ("proposals", "before_nms", "keep", "box_width")

SIZES = (1.0, 5 / 6, 2 / 3, 1 / 2)
"""Of the run's own input sides, each to the nearest multiple of 32."""
PROPOSALS = (1.0, 1 / 2, 1 / 4)
"""Of the number that ``edge-seg convert`` takes for the input size."""
BEFORE_NMS = (1000, 300, 100)
KEEP = (100, 20, 10)
BOX_WIDTHS = (1.0, 1 / 2, 1 / 4)
"""Of the model's own width."""

Levels = tuple[int, int, int, int]


@dataclass(frozen=True)
class Choice:
    """A recipe, an input size, and a level for each of :data:`PARAMETERS`."""

    recipe: str
    size: Size
    levels: Levels = (0, 0, 0, 0)

    def turned(self, parameter: int, level: int) -> Choice:
        """The same with another level of one parameter."""
        levels = [*self.levels]
        levels[parameter] = level
        return Choice(self.recipe, self.size, (levels[0], levels[1], levels[2], levels[3]))


@dataclass(frozen=True)
class Space:
    """Values of each parameter, the most first. ``proposals`` has a list for each size, all equally long.

    The first size is where the parameters are tried one by one.
    """

    recipes: tuple[str, ...]
    sizes: tuple[Size, ...]
    proposals: dict[Size, tuple[int, ...]]
    before_nms: tuple[int, ...]
    keep: tuple[int, ...]
    box_widths: tuple[int, ...]

    @property
    def levels(self) -> tuple[int, int, int, int]:
        """How many levels each parameter has."""
        return len(self.proposals[self.sizes[0]]), len(self.before_nms), len(self.keep), len(self.box_widths)

    def setting(self, choice: Choice) -> Setting:
        """The choice in the converter's values."""
        proposals, before, keep, width = choice.levels
        return Setting(
            choice.recipe,
            choice.size,
            self.proposals[choice.size][proposals],
            self.before_nms[before],
            self.keep[keep],
            self.box_widths[width],
        )

    def corners(self) -> list[Choice]:
        """Every recipe and size with all parameters full."""
        return [Choice(recipe, size) for recipe in self.recipes for size in self.sizes]

    def single_steps(self) -> list[Choice]:
        """Every level of every parameter alone, at the first size with the first recipe."""
        full = self.corners()[0]
        return [
            full.turned(parameter, level) for parameter, levels in enumerate(self.levels) for level in range(1, levels)
        ]

    def __iter__(self) -> Iterator[Choice]:
        a, b, c, d = (range(levels) for levels in self.levels)
        for corner in self.corners():
            for levels in itertools.product(a, b, c, d):
                yield Choice(corner.recipe, corner.size, levels)

    def __len__(self) -> int:
        a, b, c, d = self.levels
        return len(self.recipes) * len(self.sizes) * a * b * c * d


@dataclass(frozen=True)
class Wanted:
    """What the user asked to search; an empty list leaves a parameter to the defaults above. Numbers in any order."""

    sizes: tuple[Size, ...] = ()
    proposals: tuple[int, ...] = ()
    before_nms: tuple[int, ...] = ()
    keep: tuple[int, ...] = ()
    box_widths: tuple[int, ...] = ()


def make_space(wanted: Wanted, recipes: tuple[str, ...], size: Size, keep: int, box_width: int) -> Space:
    """The space around a run with that input ``size``, instances kept and ``box_width``.

    Raises :class:`UsageError` for a box width that no pruning can give.
    """
    from edge_seg.models.build import default_proposals

    if wanted.box_widths and max(wanted.box_widths) > box_width:
        raise UsageError(
            f"--box-widths {max(wanted.box_widths)}: the run's box head is {box_width} wide, and pruning only narrows",
            remedy=f"give widths up to {box_width}",
        )
    sizes = _distinct(wanted.sizes) or _distinct(tuple(_scaled(size, share) for share in SIZES))
    shares = {size: tuple(max(5, round(default_proposals(size) * share)) for share in PROPOSALS) for size in sizes}
    return Space(
        recipes=recipes,
        sizes=sizes,
        proposals=dict.fromkeys(sizes, _falling(wanted.proposals)) if wanted.proposals else shares,
        before_nms=_falling(wanted.before_nms or BEFORE_NMS),
        keep=_falling(wanted.keep or tuple(min(keep, number) for number in KEEP)),
        box_widths=_falling(wanted.box_widths or tuple(max(4, round(box_width * share)) for share in BOX_WIDTHS)),
    )


def _scaled(size: Size, share: float) -> Size:
    height, width = (max(32, 32 * round(side * share / 32)) for side in size)
    return height, width


def _distinct(sizes: tuple[Size, ...]) -> tuple[Size, ...]:
    return tuple(sorted(set(sizes), key=lambda size: (-size[0] * size[1], size)))


def _falling(values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(values), reverse=True))
