"""``edge-seg zoo``: the models by name, what they cost, what others published of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from edge_seg.options import SIZE, echo_json, json_option
from edge_seg.words import counted


@click.command()
@click.option("--size", type=SIZE, default="640", show_default=True, help="Input size that the GMAC are counted for.")
@click.option("--classes", type=click.IntRange(1, 10000), default=80, show_default=True, help="Classes, no background.")
@click.option("--objects", type=click.IntRange(0, 1000), default=10, show_default=True, help="Detections per image.")
@json_option
def zoo(size: tuple[int, int], classes: int, objects: int, as_json: bool) -> None:
    """List the models: parameters, size, cost, and the figures that others published.

    \b
    Examples:
      edge-seg zoo
      edge-seg zoo --size 320x480 --classes 3 --json
    """
    from edge_seg.models.stored_cost import stored_cost
    from edge_seg.zoo import ZOO, default_proposals

    proposals = default_proposals(size)
    models: list[dict[str, Any]] = []
    for entry in ZOO.values():
        cost = stored_cost(entry.name, size, classes)
        models.append(
            {
                **asdict(entry),
                "parameters": cost.parameters,
                "size_mb": round(cost.bytes / 1e6, 1),
                "gmac": round(cost.total_mac(proposals, objects) / 1e9, 2),
            }
        )
    if as_json:
        echo_json({"size": size, "classes": classes, "proposals": proposals, "objects": objects, "models": models})
        return
    click.echo(f"{'model':22} {'parameters':>10} {'fp32 MB':>8} {'GMAC':>7}  published: box/mask mAP, MB, GPU ms")
    for model in models:
        published = model["published"]
        cited = "-"
        if published:
            gpu = "-" if published["gpu_ms"] is None else published["gpu_ms"]
            cited = f"{published['box_map']} / {published['mask_map']}, {published['size_mb']}, {gpu}"
        click.echo(
            f"{model['name']:22} {model['parameters'] / 1e6:8.1f} M {model['size_mb']:8} {model['gmac']:7}  {cited}"
        )
    click.echo(
        f"\nGMAC: input {size[0]}x{size[1]}, {proposals} proposals, {counted(objects, 'detection')}. "
        f"Parameters: {counted(classes, 'class', 'classes')} and background."
    )
    for model in models:
        if model["published"]:
            click.echo(f"{model['title']}: {model['published']['source']}. {model['published']['note']}.")
