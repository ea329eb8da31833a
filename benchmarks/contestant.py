"""Worker processes that take turns, so that whatever disturbs the machine disturbs them alike."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.claims import Round
from edge_seg.process import huge_pages

WARM_UP = 3
PAUSE_S = 0.4
"""Between turns. OpenMP's threads spin for 0.2 s after their work, which would be taken from the next contestant."""


class Contestant:
    """A worker process (of ``module``) that takes its turn when told to; ``words`` are its arguments."""

    def __init__(
        self, name: str, words: Sequence[str], python: str = sys.executable, module: str = "benchmarks.worker"
    ) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [python, "-m", module, *words],
            cwd=Path(__file__).parents[1],
            env=huge_pages.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read()

    def turn(self) -> dict[str, Any]:
        """One turn; the worker's answer."""
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


def take_rounds(contestants: Sequence[Contestant], objects: int, rounds: int) -> list[Round]:
    """Every contestant's times, once a round, in an order drawn anew for each."""
    measured: list[Round] = []
    order = random.Random(0)
    for number in range(-WARM_UP, rounds):
        _progress(number + 1, rounds)
        turns: Round = {}
        # With a fixed order, or one back and forth, who follows whom is worth 5 %.
        for contestant in order.sample(contestants, len(contestants)):
            time.sleep(PAUSE_S)
            answer = contestant.turn()
            if answer["objects"] != objects:
                raise click.ClickException(f"{contestant.name} kept {answer['objects']} objects, not {objects}")
            turns[contestant.name] = {**answer["ns"], "cpu": answer["cpu_ns"]}
        if number >= 0:
            measured.append({contestant.name: turns[contestant.name] for contestant in contestants})
    return measured


def _progress(done: int, rounds: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{'warming up' if done < 1 else f'round {done} of {rounds}'}", nl=done == rounds, err=True)
