"""``edge-seg bench peers``: our bundles beside other models."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edge_seg.options import MAX_THREADS, echo_json, json_option


@click.command(short_help="Measure bundles beside other models: torchvision's Mask R-CNN, any ONNX file.")
@click.argument("bundles", metavar="BUNDLE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--peer",
    "peers",
    multiple=True,
    required=True,
    metavar="torchvision|FILE.onnx",
    help="Another model: torchvision's Mask R-CNN (extra `peers`), or what another toolkit exported; may be repeated.",
)
@click.option(
    "--images", multiple=True, metavar="FILE", type=click.Path(path_type=Path), help="Image.  [default: a golden one]"
)
@click.option("--instances", type=click.IntRange(0), default=20, show_default=True, help="Objects that get a mask.")
@click.option("--threads", type=click.IntRange(0, MAX_THREADS), default=0, help="Threads; 0: one a core.")
@click.option("--rounds", type=click.IntRange(3, 10_000), default=30, show_default=True, help="Turns of each.")
@click.option("--peer-python", metavar="FILE", help="Python of the environment that holds the peers' libraries.")
@json_option
def peers(
    bundles: tuple[Path, ...],
    peers: tuple[str, ...],
    images: tuple[Path, ...],
    instances: int,
    threads: int,
    rounds: int,
    peer_python: str | None,
    as_json: bool,
) -> None:
    """Measure bundles beside other models, in turns, with the same image and threads on this machine.

    Peers are other models: their accuracy is another, and no figure of theirs stands in the speed table. torchvision's
    Mask R-CNN has random weights, the first bundle's input size and numbers of proposals and objects. Of an ONNX file
    the network alone is timed: what it needs before and after it isn't known.

    \b
    Examples:
      edge-seg bench peers bundles/cpu-fp32 --peer torchvision
      edge-seg bench peers bundles/cpu-fp32 bundles/onnx-fp32 \\
          --peer yolo11n-seg.onnx --images photo.jpg
    """
    import sys

    from bench.peers import Asked, compare_peers, standings_text
    from bench.progress import Progress

    progress = Progress()
    asked = Asked(
        bundles,
        peers,
        images,
        instances,
        threads or len(os.sched_getaffinity(0)),
        rounds,
        peer_python or sys.executable,
    )
    standings = compare_peers(asked, lambda text: progress.show("local", text))
    progress.clear()
    if as_json:
        echo_json({"standings": [one.as_json() for one in standings]})
    else:
        click.echo(standings_text(standings))
