"""What a point costs without being run: multiply-accumulates, instructions on Arm, and time on a device with records.

The parts of a model don't cost the same a multiply-accumulate (MAC): a trunk of Winograd convolutions takes a third of
the instructions a MAC that a fully connected layer takes, and RoIAlign takes some with no MAC at all. So everything but
the MAC count starts from instructions of the parts, which were counted once (docs/native-speed.md), and a device's
records scale them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from convert.tune.device import Device, Observation, RecordsError
from convert.tune.trial import Point

COUNTED = "instructions of Paddle Lite 2.13-rc, fp32, on an emulated Cortex-A72, one thread; R18-FPN at 320x320"
# Instructions a MAC: 1,598 M for 13,998 MMAC, 454 M for 1,430 MMAC (100 proposals), 812 M for 5,299 MMAC (10 objects).
_TRUNK, _BOX, _MASK = 1598 / 13998, 454 / 1430, 812 / 5299
# The native runner's RoIAlign, a box and feature channel: 21.4 M for 100 proposals, 3.0 M for 10 objects.
_BOX_ROI, _MASK_ROI = 21.4e6 / (100 * 256), 3.0e6 / (10 * 256)
_PULL = 0.1
"""How strongly a fit holds trunk and box head to one common scale, where records say little of each."""


@dataclass(frozen=True)
class Shape:
    """What the cost of a picture follows from; MAC and channels as in :class:`Point`."""

    trunk_mac: int
    box_mac: int
    mask_mac: int
    channels: int
    proposals: int
    objects: float

    @staticmethod
    def of(point: Point) -> Shape:
        proposals = point.setting.proposals
        return Shape(point.trunk_mac, point.box_mac, point.mask_mac, point.channels, proposals, point.objects)

    @property
    def trunk(self) -> float:
        """Instructions, as the others."""
        return _TRUNK * self.trunk_mac

    @property
    def box(self) -> float:
        return self.proposals * (_BOX * self.box_mac + _BOX_ROI * self.channels)

    @property
    def mask(self) -> float:
        return self.objects * (_MASK * self.mask_mac + _MASK_ROI * self.channels)


def instructions(point: Point) -> float:
    """Millions of instructions of a steady picture, as :data:`COUNTED` says, carried over by MAC and boxes."""
    shape = Shape.of(point)
    return (shape.trunk + shape.box + shape.mask) / 1e6


@dataclass(frozen=True)
class Scales:
    """Milliseconds an instruction of each part on a device, and of NMS a picture.

    ``error`` is by how much the records' own model time is missed at worst (0.1 = 10 %); ``records`` are their ids.
    """

    trunk: float
    box: float
    mask: float
    nms_ms: float
    error: float
    records: tuple[str, ...]
    warnings: tuple[str, ...]

    def ms(self, shape: Shape) -> float:
        """Predicted model time."""
        return self.trunk * shape.trunk + self.box * shape.box + self.mask * shape.mask + self.nms_ms


def calibrate(device: Device, recipe: str, model: str, shape_of: Callable[[Observation], Shape]) -> Scales:
    """Scales for ``recipe`` from the device's records: those of ``model`` where there are any, else of all models.

    Raises :class:`RecordsError` when no record is of the recipe.
    """
    mine = [o for o in device.observations if o.recipe == recipe]
    if not mine:
        raise RecordsError(
            f"no record of {recipe} on {device.name}; there are {', '.join(device.recipes)}",
            remedy=f"measure a {recipe} bundle there, or choose a recipe that was measured with --recipe",
        )
    same = [o for o in mine if o.model == model]
    warnings = []
    if not same:
        warnings.append(f"{recipe}: no record of {model}; predicted from {', '.join(sorted({o.model for o in mine}))}")
    used = same or mine
    shapes = [shape_of(o) for o in used]
    trunk, box = _two_scales([(s.trunk, s.box, o.detect_ms) for s, o in zip(shapes, used, strict=True)])
    masks = [o.mask_ms / s.mask for s, o in zip(shapes, used, strict=True) if s.mask]
    if not masks:
        raise RecordsError(
            f"the records of {recipe} hold no picture with objects, so the mask graph's time isn't known",
            remedy="measure with `edge-seg bench run BUNDLE --instances 1,10`",
        )
    nms = statistics.median(o.nms_ms for o in used)
    scales = Scales(trunk, box, statistics.median(masks), nms, 0.0, tuple(dict.fromkeys(o.record for o in used)), ())
    error = max(abs(scales.ms(s) / (o.detect_ms + o.nms_ms + o.mask_ms) - 1) for s, o in zip(shapes, used, strict=True))
    return Scales(trunk, box, scales.mask, nms, error, scales.records, tuple(warnings))


def _two_scales(rows: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Scales p and q for which ``p a + q b`` comes near ``t`` in every row (a, b, t), by relative error.

    Records that don't tell the two apart (one bundle only) leave them equal.
    """
    common = statistics.median(t / (a + b) for a, b, t in rows)
    if common <= 0:
        return common, common
    # In units of the common scale, with the rows divided by t: least squares, pulled towards (1, 1).
    aa = ab = bb = at = bt = 0.0
    for a, b, t in rows:
        x, y = a * common / t, b * common / t
        aa, ab, bb, at, bt = aa + x * x, ab + x * y, bb + y * y, at + x, bt + y
    pull = _PULL * len(rows) * 0.01
    aa, bb, at, bt = aa + pull, bb + pull, at + pull, bt + pull
    determinant = aa * bb - ab * ab
    p, q = (at * bb - bt * ab) / determinant, (bt * aa - at * ab) / determinant
    if min(p, q) <= 0:  # a part can't take negative time: the records are too noisy to tell them apart
        return common, common
    return p * common, q * common
