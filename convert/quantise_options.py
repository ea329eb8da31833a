"""The options of ``edge-seg convert`` that say how int8 recipes see their pictures. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

# As convert.quantise_range has them; a test holds it.
ALGORITHMS = ("mse", "kl", "hist", "abs_max")
_OPTIONS = (
    click.option(
        "--calibration",
        type=click.Path(path_type=Path),
        help="For int8: a folder of pictures, or a COCO folder.  [default: the run's training data]",
    ),
    click.option(
        "--calibration-pictures",
        type=click.IntRange(1, 10_000),
        help="For int8: so many of them.  [default: 16; 4 drawn ones with --random-weights]",
    ),
    click.option("--calibration-seed", type=click.IntRange(0, 2**31 - 1), help="Which of them.  [default: 0]"),
    click.option("--algorithm", type=click.Choice(ALGORITHMS), help="How int8 chooses its ranges.  [default: mse]"),
    click.option(
        "--keep-accuracy",
        metavar="POINTS",
        type=click.FloatRange(0, 100),
        help="For int8: most mask mAP to be lost, in points of 100; layers that hurt stay in float.",
    ),
)


def quantisation_options(command: F) -> F:
    """Adds the options to a command, in the order above."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def quantisation_of(options: dict[str, Any]) -> dict[str, Any]:
    """``options`` of the command line, with those above as one :class:`~convert.calibration.CalibrationOptions`."""
    from convert.calibration import CalibrationOptions

    rest = dict(options)
    given = {
        "folder": rest.pop("calibration"),
        "pictures": rest.pop("calibration_pictures"),
        "seed": rest.pop("calibration_seed"),
        "algorithm": rest.pop("algorithm"),
        "keep_accuracy": rest.pop("keep_accuracy"),
    }
    chosen = CalibrationOptions(**{name: value for name, value in given.items() if value is not None})
    return {**rest, "calibration": chosen}
