"""``make native-count``: instructions of the native runner's stages on an emulated board, and what they depend on.

Counted are instructions of a modelled processor, never times of a board: caches and issue width aren't in them. They
repeat to a millionth, on any machine. The runner reads the clock at the borders of its stages; the plugin of qemu's
(cmake/count/plugin.cc) notes how many instructions have gone by then.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

BUILD = Path(__file__).parents[1] / "build" / "native"
MILLION = 1e6


@dataclass(frozen=True)
class Sample:
    """Instructions of one picture's stages."""

    image: str
    instances: int
    pre: int
    detect: int
    nms: int
    mask: int
    post: int

    @property
    def total(self) -> int:
        """All stages."""
        return self.pre + self.detect + self.nms + self.mask + self.post

    @property
    def rest(self) -> float:
        """The share of everything but the two graphs."""
        return 1 - (self.detect + self.mask) / self.total


def read_samples(lines: list[dict[str, Any]], events: str) -> list[Sample]:
    """The samples among the runner's ``lines``, with what the plugin wrote: ``PID clock N`` and ``PID write FD N``.

    The runner must have run without warm-up, so that one picture's readings of the clock stand before each line.
    """
    noted = [line.split() for line in events.splitlines()]
    clocks = [words[0] for words in noted if words[1] == "clock"]
    worker = max(set(clocks), key=clocks.count)  # the runner works in a child process
    groups: list[list[int]] = [[]]
    for pid, kind, *numbers in noted:
        if pid != worker:
            continue
        if kind == "clock":
            groups[-1].append(int(numbers[0]))
        elif int(numbers[0]) > 2:  # a line, not the library's words on stderr
            groups.append([])
    return [_sample(line, group) for line, group in zip(lines, groups, strict=False) if line["type"] == "sample"]


def _sample(line: dict[str, Any], clocks: list[int]) -> Sample:
    steps = [after - before for before, after in itertools.pairwise(clocks)]
    # Whatever borders lie between: the graphs are the two largest steps by far.
    detect, mask = sorted(sorted(range(len(steps)), key=steps.__getitem__)[-2:])
    return Sample(
        image=line["image"],
        instances=line["instances"],
        pre=sum(steps[:detect]),
        detect=steps[detect],
        nms=sum(steps[detect + 1 : mask]),
        mask=steps[mask],
        post=sum(steps[mask + 1 :]),
    )


def count(bundle: Path, board: str, *options: str) -> list[Sample]:
    """Runs the runner once on an emulated board; its samples."""
    folder = BUILD / "aarch64"
    with tempfile.TemporaryDirectory() as scratch:
        events = Path(scratch, "events")
        command = [
            *("qemu-aarch64", "-plugin", f"{BUILD / 'libedge-seg-count.so'},out={events}"),
            *("-cpu", board, "-L", str(folder / "boards" / board), str(folder / "edge-seg-run")),
            *("--bundle", str(bundle), "--warmup", "0", "--threads", "1", "--json", *options),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode != 0:
            raise click.ClickException(f"the runner failed: {lines[-1:]} {done.stderr[-500:]}")
        return read_samples(lines, events.read_text())


def reason_to_skip() -> str | None:
    """Why nothing can be counted here; None when it can."""
    if not os.environ.get("PADDLE_LITE_DIR"):
        return "PADDLE_LITE_DIR names no folder with Paddle Lite's library for 64-bit Arm"
    if shutil.which("qemu-aarch64") is None:
        return "qemu-aarch64 isn't installed (Debian's package qemu-user; the static one takes no plugins)"
    if not (BUILD / "libedge-seg-count.so").is_file() or not (BUILD / "aarch64" / "edge-seg-run").is_file():
        return "the runner and the plugin aren't built: `make native-count` builds them"
    return None


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--images", multiple=True, help="Pictures; two with unequal numbers of objects also show a changing one.")
@click.option("--instances", default=10, show_default=True, help="Boxes that get a mask in the steady run.")
@click.option("--board", default="cortex-a72", show_default=True)
@click.option("--cpu", is_flag=True, help="Only compare the processor as it is with the one shown to the library.")
def main(bundle: Path | None, images: tuple[str, ...], instances: int, board: str, cpu: bool) -> None:
    """Count the instructions of BUNDLE (R18-FPN, 320 x 320, random weights) on an emulated BOARD."""
    reason = reason_to_skip()
    if reason:
        click.echo(f"skipped: {reason}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        if bundle is None:
            words = ["mask_rcnn_r18_fpn", "--random-weights", "--seed", "1", "--recipe", "arm-fp32", "--size", "320"]
            bundle = Path(scratch, "arm-fp32")
            _edge_seg("convert", *words, "--out", str(bundle))
        if not images:
            _edge_seg("data", "synth", scratch + "/shapes", "--images", "4", "--size", "320", "--seed", "5")
            images = tuple(str(path) for path in sorted(Path(scratch, "shapes", "images").iterdir())[:2])
        click.echo(f"{bundle.name} on an emulated {board}, one thread; million instructions, not times of a board")
        if cpu:
            _compare_cpu(bundle, board, images[0], instances)
            return
        _show_steady(count(bundle, board, "--images", images[0], "--repeat", "1", "--instances", str(instances)))
        if len(images) > 1:
            _show_changing(bundle, board, images[0], images[1])


def _show_steady(samples: list[Sample]) -> None:
    sample = samples[-1]
    for stage in ("pre", "detect", "nms", "mask", "post", "total"):
        click.echo(f"  {stage:8} {getattr(sample, stage) / MILLION:9.2f}")
    click.echo(f"  {sample.instances} objects; everything but the two graphs: {sample.rest:.2%}")


def _show_changing(bundle: Path, board: str, first: str, second: str) -> None:
    """The same pictures, each after itself and each after the other."""
    samples = count(bundle, board, "--repeat", "1", "--images", first, first, second, second, first, second)
    constant, changing = samples[1].total + samples[3].total, samples[4].total + samples[5].total
    click.echo(f"  {samples[1].instances} and {samples[3].instances} objects in turn: {changing / MILLION:.2f}; each")
    click.echo(f"  picture after itself: {constant / MILLION:.2f}; the change costs {changing / constant - 1:+.2%}")


def _compare_cpu(bundle: Path, board: str, image: str, instances: int) -> None:
    options = ("--images", image, "--repeat", "1", "--instances", str(instances))
    shown, real = (count(bundle, board, *options, *more)[-1].total for more in ((), ("--cpu-as-it-is",)))
    click.echo(f"  processor as it is: {real / MILLION:.2f}; as the library is shown it: {shown / MILLION:.2f}")
    click.echo(f"  ({shown / real - 1:+.2%})")


def _edge_seg(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "edge_seg.cli", *words], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
