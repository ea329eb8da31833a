"""The native runner's claims, measured beside the Python one in one run: ``python -m benchmarks.native``.

Both run the null engine, so that nothing but their own work is left. Needs ``make native``; without it, it says so and
measures nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from benchmarks.null_bundle import make_null_bundle
from benchmarks.worker import picture
from edge_seg.records.statistics import Summary, summarise

BUILD = Path(__file__).parents[1] / "build" / "native" / "host"
RUNNERS = {
    "native": (str(BUILD / "edge-seg-run"),),
    "python": (sys.executable, "-m", "edge_seg.runtime.runner"),
}
OBJECTS = 20
REPEATS = 30
PICTURES = 2000
"""In one run of many pictures, from which the cost of one follows."""
OWN_US, FASTER = 50.0, 1.5
SIZES = {"halved": (1280, 720), "shrunk": (1000, 700), "as it is": (640, 640)}


def _options(bundle: Path, threads: int) -> list[str]:
    return [
        "--bundle",
        str(bundle),
        "--engine",
        "null",
        "--json",
        "--instances",
        str(OBJECTS),
        "--threads",
        str(threads),
    ]


def _samples(output: str | bytes) -> list[dict[str, int]]:
    lines = [json.loads(line) for line in output.splitlines()]
    return [line["ns"] for line in lines if line["type"] == "sample"]


def around_ns(runner: str, bundle: Path, image: Path, threads: int) -> float:
    """Pre- plus post-processing (without NMS, which gains more) of one picture, the median of some runs."""
    command = [*RUNNERS[runner], *_options(bundle, threads), "--repeat", str(REPEATS), "--images", str(image)]
    samples = _samples(subprocess.run(command, capture_output=True, check=True).stdout)
    return float(np.median([ns["pre"] + ns["post"] for ns in samples]))


def own_us(bundle: Path, image: Path) -> float:
    """Processor time that the native runner takes for a picture besides decoding it and the stages: lines and clocks.

    The picture and the network's input are small, so that this isn't the difference of two large numbers.
    """
    cpu = {}
    for count in (1, PICTURES + 1):
        options = [*_options(bundle, 1), "--warmup", "0", "--repeat", "1", "--images", *[str(image)] * count]
        with tempfile.TemporaryFile() as lines:
            process = subprocess.Popen([*RUNNERS["native"], *options], stdout=lines)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if status:
                raise click.ClickException(f"edge-seg-run failed (exit code {process.returncode})")
            cpu[count] = (usage.ru_utime + usage.ru_stime) * 1e6
            lines.seek(0)
            stages = float(np.median([ns["total"] for ns in _samples(lines.read())])) / 1e3
    return (cpu[PICTURES + 1] - cpu[1]) / PICTURES - stages - _decoding_us(image)


def _decoding_us(image: Path) -> float:
    request = json.dumps({"do": "read_again", "bytes": [], "path": str(image), "count": PICTURES}) + "\n"
    answer = subprocess.run([BUILD / "edge-seg-probe"], input=request, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(answer.stdout)
    return float(found["ns"]) / 1e3 / PICTURES


def _judge(text: str, values: Sequence[float], limit: float, *, most: bool) -> bool:
    found: Summary = summarise(values)
    holds = found.median <= limit if most else found.median >= limit
    click.echo(f"{'holds' if holds else 'FAILS'}  {found.median:.2f} ± {found.spread:.2f} (limit {limit:g})  {text}")
    return holds


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
def main(rounds: int, threads: int) -> None:
    """Measure the native runner's own cost, and its pre- and post-processing beside Python's."""
    missing = [program for program in ("edge-seg-run", "edge-seg-probe") if not (BUILD / program).is_file()]
    if missing:
        click.echo(f"skipped: {', '.join(missing)} of the native runner isn't built: `make native` builds it")
        return
    held = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-seg-bench-")))
        make_null_bundle(
            folder / "large", size=(640, 640), proposals=1000, classes=tuple(map(str, range(80))), keep=100
        )
        make_null_bundle(folder / "small", size=(32, 32), proposals=OBJECTS, classes=("thing",), keep=OBJECTS)
        cv2.imwrite(str(folder / "small.png"), picture()[:64, :64])
        own = [own_us(folder / "small", folder / "small.png") for _ in range(rounds)]
        held.append(_judge("native: µs a picture besides decoding and the stages", own, OWN_US, most=True))
        for name, size in SIZES.items():
            image = folder / f"{size[0]}.png"
            cv2.imwrite(str(image), cv2.resize(picture(), size))
            ratios = []
            for number in range(rounds):  # back and forth, so that none always follows the same one
                order = list(RUNNERS)[:: 1 if number % 2 else -1]
                ns = {runner: around_ns(runner, folder / "large", image, threads) for runner in order}
                ratios.append(ns["python"] / ns["native"])
            what = f"{size[0]}x{size[1]} into 640x640 ({name}), {OBJECTS} objects, {threads} threads"
            held.append(_judge(f"Python's pre- plus post-processing / native's: {what}", ratios, FASTER, most=False))
    sys.exit(not all(held))


if __name__ == "__main__":
    main()
