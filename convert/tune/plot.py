"""The front as an image: SVG, which any browser shows and any text tool compares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 760, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 48, 60
_STYLE = """
  text { font: 13px sans-serif; fill: #222 } .title { font-size: 15px; font-weight: bold } .small { font-size: 11px }
  .grid { stroke: #ddd } .axis { stroke: #222 } .front { stroke: #1763a6; stroke-width: 2; fill: none }
  .other { fill: #b5b5b5 } .best { fill: #1763a6 } .chosen { fill: none; stroke: #c8400a; stroke-width: 2.5 }
  .budget { stroke: #c8400a; stroke-dasharray: 5 4 } .over { fill: #c8400a }
"""


@dataclass(frozen=True)
class Mark:
    """A point of the plot; ``accuracy`` from 0 to 1, ``label`` is what a browser shows when one points at it."""

    cost: float
    accuracy: float
    label: str


def draw(
    title: str, unit: str, others: Sequence[Mark], front: Sequence[Mark], budget: float | None, chosen: Mark | None
) -> str:
    """An SVG document: cost on a logarithmic axis, accuracy in percent, the front as steps."""
    costs = [mark.cost for mark in [*others, *front]] + ([budget] if budget else [])
    shown = [100 * mark.accuracy for mark in [*others, *front]]
    across = _Log(min(costs) / 1.15, max(costs) * 1.15)
    low, high, step = _range(min(shown), max(shown))

    def x(cost: float) -> float:
        return _LEFT + across.share(cost) * (_WIDTH - _LEFT - _RIGHT)

    def y(percent: float) -> float:
        return _HEIGHT - _BOTTOM - (percent - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def line(kind: str, x0: float, y0: float, x1: float, y1: float) -> str:
        return f'<line class="{kind}" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'

    def text(words: str, x0: float, y0: float, anchor: str = "middle", kind: str = "") -> str:
        return f'<text class="{kind}" x="{x0:.1f}" y="{y0:.1f}" text-anchor="{anchor}">{escape(words)}</text>'

    def dot(mark: Mark, kind: str, radius: float) -> str:
        where = f'cx="{x(mark.cost):.1f}" cy="{y(100 * mark.accuracy):.1f}"'
        return f'<circle class="{kind}" {where} r="{radius:g}"><title>{escape(mark.label)}</title></circle>'

    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [text(title, _LEFT, 24, "start", "title")]
    for tick in across.ticks():
        parts += [line("grid", x(tick), _TOP, x(tick), bottom), text(f"{tick:g}", x(tick), bottom + 18)]
    for number in range(round((high - low) / step) + 1):
        percent = low + number * step
        parts += [
            line("grid", _LEFT, y(percent), right, y(percent)),
            text(f"{percent:g}", _LEFT - 8, y(percent) + 4, "end"),
        ]
    parts += [line("axis", _LEFT, bottom, right, bottom), line("axis", _LEFT, _TOP, _LEFT, bottom)]
    parts.append(text(f"cost, {unit}", (_LEFT + right) / 2, _HEIGHT - 16))
    parts.append(
        f'<text transform="translate(20 {(_TOP + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">mask mAP, %</text>'
    )
    if budget:
        parts += [
            line("budget", x(budget), _TOP, x(budget), bottom),
            text(f"budget {budget:g}", x(budget), _TOP - 6, "middle", "over small"),
        ]
    if front:
        path = f"M {x(front[0].cost):.1f} {y(100 * front[0].accuracy):.1f}"
        for mark in front[1:]:
            path += f" H {x(mark.cost):.1f} V {y(100 * mark.accuracy):.1f}"
        parts.append(f'<path class="front" d="{path}"/>')
    parts += [dot(mark, "other", 3.5) for mark in others]
    parts += [dot(mark, "best", 5) for mark in front]
    if chosen:
        parts.append(dot(chosen, "chosen", 9))
    body, size = "\n".join(parts), f'width="{_WIDTH}" height="{_HEIGHT}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {size}>\n'
        f'<style>{_STYLE}</style>\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


class _Log:
    def __init__(self, low: float, high: float) -> None:
        self._low, self._span = math.log(low), math.log(high) - math.log(low)

    def share(self, value: float) -> float:
        """Where ``value`` lies, 0 to 1."""
        return (math.log(value) - self._low) / self._span

    def ticks(self) -> list[float]:
        """Round numbers, as many as can be read."""
        decades = range(-12, 16)
        for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(1 + n / 10 for n in range(90))):
            found = [float(f"{step}e{decade}") for decade in decades for step in steps]
            inside = [value for value in found if 0 <= self.share(value) <= 1]
            if len(inside) >= 4:
                break
        return inside[:: -(-len(inside) // 10)]


def _range(least: float, most: float) -> tuple[float, float, float]:
    """Bounds and step of the accuracy axis, in percent."""
    step = next(step for step in (0.5, 1, 2, 5, 10, 20) if (most - least) / step <= 7)
    low, high = step * math.floor(least / step - 0.3), step * math.ceil(most / step + 0.3)
    return max(0.0, low), high, step
