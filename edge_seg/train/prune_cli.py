"""``edge-seg prune``."""

from __future__ import annotations

from pathlib import Path

import click

from edge_seg.options import Finite, echo_json, json_option
from edge_seg.process.guard import guarded, phase

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=_FOLDER)
@click.option("--data", type=_FOLDER, required=True, help="Folder with train.json, val.json and images/ (COCO).")
@click.option("--out", type=_FOLDER, required=True, help="The run to write; one that is there is replaced.")
@click.option(
    "--flops",
    type=Finite(min=0, max=1, min_open=True, max_open=True),
    default=0.7,
    show_default=True,
    help="Multiply-accumulates to keep, as a share of the run's.",
)
@click.option(
    "--method",
    type=click.Choice(["fpgm", "l1"]),
    default="fpgm",
    show_default=True,
    help="Which channels of a layer go first: those most like the others, or the smallest.",
)
@click.option("--images", type=click.IntRange(min=1), default=16, show_default=True, help="Training images to look at.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Chooses the images.")
@json_option
@guarded
def prune(run: Path, data: Path, out: Path, flops: float, method: str, images: int, seed: int, as_json: bool) -> None:
    """Take channels out of RUN's convolutions until it costs what --flops says, where its losses bear it best.

    How much each layer bears is measured on training images. The result has lost accuracy, which a training from it
    brings back in part.

    \b
    Examples:
      edge-seg prune run --data shapes --flops 0.6 --out small
      edge-seg train mask_rcnn_tiny_fpn --data shapes --weights small --epochs 4 \\
          --lr 0.001 --out tuned
      edge-seg convert tuned --recipe arm-fp32 --out bundles
    """
    phase("reading the run and the data")
    from edge_seg.data.coco import load_split
    from edge_seg.files import refuse_overwriting
    from edge_seg.train import device as devices
    from edge_seg.train.display import Display
    from edge_seg.train.filters import prune_filters
    from edge_seg.train.folder import command_line
    from edge_seg.train.run import load_run

    refuse_overwriting(out, [run, data])
    opened = load_run(run)
    train = load_split(data, "train")
    devices.use("auto")
    phase("pruning")
    with Display() as display:
        found = prune_filters(
            opened,
            train,
            out,
            flops=flops,
            method=method,
            images=images,
            seed=seed,
            command=command_line().strip(),
            progress=lambda done, total: display.status("layers measured", done, total),
        )
    if as_json:
        widths = {name: {"before": a, "after": b} for name, (a, b) in found.widths.items()}
        echo_json(
            {
                "run": out,
                "mac": {"before": found.mac_before, "after": found.mac_after},
                "losses": {"before": found.losses_before, "after": found.losses_after},
                "widths": widths,
            }
        )
        return
    gone, full = sum(a - b for a, b in found.widths.values()), sum(a for a, _ in found.widths.values())
    click.echo(
        f"{out}: {found.mac_before / 1e9:.2f} -> {found.mac_after / 1e9:.2f} GMAC "
        f"({found.mac_after / found.mac_before:.0%}), {gone} of {full} channels gone; "
        f"losses {found.losses_before:.3f} -> {found.losses_after:.3f}"
    )
    click.echo(f"next: edge-seg train {opened.config.model} --data {data} --weights {out} --out …")
