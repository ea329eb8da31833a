"""``make bench``: every claim as a ratio from one interleaved run, with its limit; exit 1 when one doesn't hold."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from bench.report import with_spread
from bench.verdict import Evidence
from bench.verdict import judge as judge_machine
from benchmarks.claims import Round, judge, model_ns
from benchmarks.contestant import Contestant, take_rounds
from edge_seg.records.board_state import snapshots
from edge_seg.records.machine import describe
from edge_seg.records.statistics import summarise
from edge_seg.targets.local import Local


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
    with contextlib.ExitStack() as stack:
        contestants = []
        for bundle in bundles:
            contestants.append(Contestant(bundle.name, [str(bundle), str(threads)]))
            stack.callback(contestants[-1].close)
        return take_rounds(contestants, objects, rounds)


if __name__ == "__main__":
    main()
