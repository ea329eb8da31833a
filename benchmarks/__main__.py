"""``make bench``: every claim as a ratio from one interleaved run, with its limit; exit 1 when one doesn't hold."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from bench.report import with_spread
from bench.verdict import Evidence
from bench.verdict import judge as judge_machine
from benchmarks.claims import Round, judge, model_ns
from edge_seg.records.board_state import snapshots
from edge_seg.records.machine import describe
from edge_seg.records.statistics import summarise
from edge_seg.targets.local import Local

WARM_UP = 3
PAUSE_S = 0.4
"""Between turns. OpenMP's threads spin for 0.2 s after their work, which would be taken from the next contestant."""


class Contestant:
    """A worker process that takes its turn when told to."""

    def __init__(self, bundle: Path, threads: int) -> None:
        command = [sys.executable, "-m", "benchmarks.worker", str(bundle), str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.name = bundle.name
        self._read()

    def turn(self) -> dict[str, Any]:
        """Segments the picture once; the worker's answer."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise click.ClickException(f"{self.name}: the worker died (exit code {self._process.wait()})")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Ends the worker."""
        self._process.kill()
        self._process.wait()


@click.command()
@click.option("--model", default="mask_rcnn_r18_fpn", show_default=True)
@click.option("--size", default=320, show_default=True, help="Input height and width.")
@click.option("--objects", default=20, show_default=True, help="Boxes that every contestant keeps.")
@click.option("--rounds", type=click.IntRange(1), default=30, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=len(os.sched_getaffinity(0)), show_default="all cores")
def main(model: str, size: int, objects: int, rounds: int, threads: int) -> None:
    """Compare contestants that take turns, so that whatever disturbs the machine disturbs them alike."""
    click.echo(f"{model}, {size}x{size}, {objects} objects, {threads} threads: converting…", err=True)
    with tempfile.TemporaryDirectory(prefix="edge-seg-bench-") as folder:
        words = [folder + "/bundles", model, str(size), str(objects)]
        built = subprocess.run([sys.executable, "-m", "benchmarks.build", *words], capture_output=True, text=True)
        if built.returncode != 0:
            raise click.ClickException(f"the bundles couldn't be made:\n{built.stderr[-2000:]}")
        waiting = snapshots(Local(), 2)
        measured = _measure(sorted(Path(folder, "bundles").iterdir()), threads, objects, rounds)
    machine = describe(Local())
    click.echo(f"{model}, {size}x{size}, {objects} objects, {threads} threads, {rounds} rounds; {machine.title}")
    for name in measured[0]:
        click.echo(f"  {name:14} model time {with_spread(summarise([model_ns(r[name]) / 1e6 for r in measured]))}")
    results = judge(measured)
    for result in results:
        word = "holds" if result.holds else "FAILS"
        ratio, limit = result.ratio, result.claim.limit
        click.echo(f"{word}  {ratio.median:.3f} ± {ratio.spread:.3f} (limit {limit:g})  {result.claim.text}")
    for reason in judge_machine(Evidence([[1] * 10], waiting, (), (), machine=machine)).reasons:
        click.echo(f"Warning: {reason.message}: {reason.remedy}", err=True)
    sys.exit(not all(result.holds for result in results))


def _measure(bundles: list[Path], threads: int, objects: int, rounds: int) -> list[Round]:
    measured: list[Round] = []
    with contextlib.ExitStack() as stack:
        contestants = []
        for bundle in bundles:
            contestants.append(Contestant(bundle, threads))
            stack.callback(contestants[-1].close)
        order = random.Random(0)
        for number in range(-WARM_UP, rounds):
            _progress(number + 1, rounds)
            turns: Round = {}
            # Drawn anew each round: with a fixed order, or one back and forth, who follows whom is worth 5 %.
            for contestant in order.sample(contestants, len(contestants)):
                time.sleep(PAUSE_S)
                answer = contestant.turn()
                if answer["objects"] != objects:
                    raise click.ClickException(f"{contestant.name} kept {answer['objects']} objects, not {objects}")
                turns[contestant.name] = answer["ns"]
            if number >= 0:
                measured.append({contestant.name: turns[contestant.name] for contestant in contestants})
    return measured


def _progress(done: int, rounds: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{'warming up' if done < 1 else f'round {done} of {rounds}'}", nl=done == rounds, err=True)


if __name__ == "__main__":
    main()
