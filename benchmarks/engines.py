"""How other engines and another Mask R-CNN stand beside ``cpu-fp32``: ``python -m benchmarks.engines``.

ONNX Runtime and OpenVINO run the same weights as graphs of convolutions alone, with the same decisions between them;
torchvision's Mask R-CNN is another model of the same kind. OpenVINO and torchvision live in an environment of their own
(tools/setup_peers.sh); what isn't there is skipped by name. Nothing is claimed, so nothing can fail.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.claims import Round, model_ns
from benchmarks.contestant import Contestant, take_rounds
from edge_seg.records.machine import describe
from edge_seg.records.statistics import paired_ratio
from edge_seg.targets.local import Local

OURS = "cpu-fp32"
PEERS = Path(__file__).parents[1] / "build" / "peers" / "bin" / "python"
TORCHVISION_MODEL = "mask_rcnn_r50_fpn"
"""torchvision has it with this backbone alone."""


@click.command()
@click.option("--model", default=TORCHVISION_MODEL, show_default=True)
@click.option("--size", default=640, show_default=True, help="Input height and width.")
@click.option("--objects", default=20, show_default=True, help="Boxes that every contestant keeps.")
@click.option("--rounds", type=click.IntRange(3), default=15, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=len(os.sched_getaffinity(0)), show_default="all cores")
def main(model: str, size: int, objects: int, rounds: int, threads: int) -> None:
    """Compare engines that take turns, so that whatever disturbs the machine disturbs them alike."""
    click.echo(f"{model}, {size}x{size}, {objects} objects, {threads} threads: converting…", err=True)
    with tempfile.TemporaryDirectory(prefix="edge-seg-bench-") as folder, contextlib.ExitStack() as stack:
        words = [folder + "/bundles", model, str(size), str(objects), "convolutions"]
        built = subprocess.run([sys.executable, "-m", "benchmarks.build", *words], capture_output=True, text=True)
        if built.returncode != 0:
            raise click.ClickException(f"the bundles couldn't be made:\n{built.stderr[-2000:]}")
        onnx = str(Path(folder, "bundles", "onnx-fp32"))
        contestants = [Contestant(OURS, [str(Path(folder, "bundles", OURS)), str(threads)])]
        contestants.append(Contestant("onnxruntime", [onnx, str(threads)]))
        if has("openvino"):
            contestants.append(Contestant("openvino", [onnx, str(threads), "openvino"], str(PEERS)))
        if model != TORCHVISION_MODEL:
            click.echo(f"Skipped: torchvision, whose Mask R-CNN is {TORCHVISION_MODEL}'s kind, not {model}'s", err=True)
        elif has("torchvision"):
            peer = ["torchvision", str(threads), str(size), str(objects)]
            contestants.append(Contestant("torchvision", peer, str(PEERS)))
        for contestant in contestants:
            stack.callback(contestant.close)
        measured = take_rounds(contestants, objects, rounds)
    title = describe(Local()).title
    click.echo(f"{model}, {size}x{size}, {objects} objects, {threads} threads, {rounds} rounds; {title}; {OURS} = 1")
    for contestant in contestants:
        click.echo(line(contestant.name, measured))


def has(library: str) -> bool:
    """Whether the peers' environment has it; says so where it hasn't."""
    if PEERS.is_file() and subprocess.run([str(PEERS), "-c", f"import {library}"], capture_output=True).returncode == 0:
        return True
    click.echo(f"Skipped: {library} (sh tools/setup_peers.sh installs it)", err=True)
    return False


def line(name: str, rounds: list[Round]) -> str:
    """A contestant's model time and CPU time beside ours: median of the rounds' ratios, with their interval."""
    told = []
    for what, value in (("model time", model_ns), ("CPU time", cpu_ns)):
        ratio = paired_ratio([value(each[OURS]) for each in rounds], [value(each[name]) for each in rounds])
        told.append(f"{what} {ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})")
    return f"  {name:12} {'   '.join(told)}"


def cpu_ns(stages: dict[str, int]) -> float:
    """CPU time of all threads, pre- and post-processing included."""
    return stages["cpu"]


if __name__ == "__main__":
    main()
