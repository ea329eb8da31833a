"""The many options of ``edge-seg train``, in groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from edge_seg.options import ABOVE_0, SCORE, Finite

Command = TypeVar("Command", bound=Callable[..., Any])
_COUNT = click.IntRange(min=1)
_COUNT_OR_OFF = click.IntRange(min=0)
_BELOW_1 = Finite(min=0, max=1, max_open=True)


def _together(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


optimizer_options = _together(
    click.option(
        "--amp",
        type=click.Choice(["fp16", "bf16"]),
        help="Mixed precision, on a GPU.  [default: all in fp32]",
    ),
    click.option(
        "--accumulate",
        type=_COUNT,
        default=1,
        show_default=True,
        help="Batches whose gradients make one step.",
    ),
    click.option(
        "--rois",
        type=click.IntRange(min=4),
        help="RoIs of an image that the heads learn from, a quarter of them objects.  [default: 512; tiny: 32]",
    ),
    click.option(
        "--lr",
        type=ABOVE_0,
        help="Learning rate.  [default: 0.00125 x batch x accumulate; adamw: a hundredth of it]",
    ),
    click.option(
        "--schedule",
        type=click.Choice(["step", "cosine"]),
        default="step",
        show_default=True,
        help="How the rate falls: at --decay-epochs, or along a cosine to 0.",
    ),
    click.option(
        "--warmup-steps",
        type=_COUNT_OR_OFF,
        help="Steps to the full rate.  [default: an epoch or a twentieth of all steps, the longer, up to 500]",
    ),
    click.option("--decay-epochs", metavar="E,E…", help="When the rate is divided by 10.  [default: at 2/3 and 11/12]"),
    click.option(
        "--optimizer",
        type=click.Choice(["sgd", "momentum", "adamw"]),
        default="momentum",
        show_default=True,
        help="How the weights follow the gradient.",
    ),
    click.option("--momentum", type=_BELOW_1, default=0.9, show_default=True, help="Of --optimizer momentum."),
    click.option("--weight-decay", type=Finite(min=0), help="Pull towards 0.  [default: 0.0001; adamw: 0.05]"),
    click.option("--clip-norm", type=Finite(min=0), default=0.0, help="Limit of the gradient's norm; 0 is off."),
    click.option(
        "--ema",
        type=_BELOW_1,
        default=0.0,
        help="Evaluate and keep a running mean of the weights with this decay, such as 0.9998; 0 is off.",
    ),
    click.option(
        "--patience",
        type=_COUNT_OR_OFF,
        default=0,
        help="Stop after so many evaluations without a better mask mAP; 0: never.",
    ),
)

augmentation_options = _together(
    click.option("--flip", type=SCORE, default=0.5, show_default=True, help="How often an image is mirrored."),
    click.option("--vertical-flip", type=SCORE, default=0.0, help="How often it is turned upside down; 0 is off."),
    click.option("--color-jitter", type=SCORE, default=0.0, help="How much light and colours differ; 0 is off."),
    click.option("--crop", type=SCORE, default=0.0, help="How often only a part is shown; 0 is off."),
    click.option("--expand", type=SCORE, default=0.0, help="How often it lies on a larger ground; 0 is off."),
    click.option(
        "--mosaic", type=SCORE, default=0.0, help="How often four images are joined, for small sets; 0 is off."
    ),
)

loader_options = _together(
    click.option(
        "--group-by-aspect",
        is_flag=True,
        help="Make batches of wide images or of high ones: less padding with --short-side.",
    ),
    click.option(
        "--repeat-factor",
        type=SCORE,
        default=0.0,
        help="Show images more often that hold a class rarer than this share, such as 0.01; 0 is off.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(0, 256),
        default=0,
        help="Processes that prepare batches; 0: threads of this one.",
    ),
)
