"""The options of ``edge-seg convert`` that say how int8 recipes see their images. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_seg.errors import UsageError
from edge_seg.options import Finite

F = TypeVar("F", bound=Callable[..., Any])

# As convert.quantize.ranges has them; a test holds it.
ALGORITHMS = ("mse", "kl", "hist", "abs_max")
TRAINED = "quantization-aware training"
"""What a manifest says instead where the ranges were trained."""
_NAMES = {
    "calibration": "folder",
    "calibration_images": "images",
    "calibration_seed": "seed",
    "algorithm": "algorithm",
    "keep_accuracy": "keep_accuracy",
}
_OPTIONS = (
    click.option(
        "--calibration",
        type=click.Path(path_type=Path),
        help="For int8: a folder of images, or a COCO folder.  [default: the run's training data]",
    ),
    click.option(
        "--calibration-images",
        type=click.IntRange(1, 10_000),
        help="For int8: so many of them.  [default: 16; 2 drawn ones with --random-weights]",
    ),
    click.option("--calibration-seed", type=click.IntRange(0, 2**31 - 1), help="Which of them.  [default: 0]"),
    click.option("--algorithm", type=click.Choice(ALGORITHMS), help="How int8 chooses its ranges.  [default: mse]"),
    click.option(
        "--keep-accuracy",
        metavar="POINTS",
        type=Finite(0, 100),
        help="For int8: most mask mAP to be lost, in points of 100; layers that hurt stay in float.",
    ),
)


def quantization_options(command: F) -> F:
    """Adds the options to a command, in the order above."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def quantization_of(options: dict[str, Any], *, used: bool) -> dict[str, Any]:
    """``options`` of the command line, with those above as one :class:`~convert.calibration.CalibrationOptions`.

    Raises UsageError when one is given that isn't ``used``, no recipe being int8.
    """
    from convert.calibration import CalibrationOptions

    rest = dict(options)
    given = {field: rest.pop(name) for name, field in _NAMES.items()}
    unused = [f"--{name.replace('_', '-')}" for name in _NAMES if options[name] is not None and not used]
    if unused:
        raise UsageError(f"{unused[0]}: for int8 recipes, of which none is named", remedy="leave it out")
    chosen = CalibrationOptions(**{name: value for name, value in given.items() if value is not None})
    return {**rest, "calibration": chosen}
