"""A runner on the null engine that goes on until it is stopped, and its lines."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

from tests.native.bundles import Lines

RUN = ("--bundle", "bundle", "--engine", "null", "--json", "--warmup", "0")


def of_kind(lines: Lines, kind: str) -> Lines:
    return [line for line in lines if line["type"] == kind]


class Running:
    """A runner that goes on until it is stopped, its lines read as they come."""

    def __init__(self, command: list[str], *options: str, **settings: Any) -> None:
        self.process = subprocess.Popen([*command, *RUN, *options], stdout=subprocess.PIPE, **settings)

    def until(self, kind: str) -> dict[str, Any]:
        assert self.process.stdout
        for text in self.process.stdout:
            line: dict[str, Any] = json.loads(text)
            if line["type"] == kind:
                return line
        raise AssertionError(f"no line {kind!r} came")

    def stop(self) -> tuple[int, Lines]:
        self.process.send_signal(signal.SIGINT)
        return self.rest()

    def rest(self) -> tuple[int, Lines]:
        assert self.process.stdout
        lines = [json.loads(line) for line in self.process.stdout]
        return self.process.wait(20), lines
