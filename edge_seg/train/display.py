"""What a training shows on stderr: one line that renews itself on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

EVERY_SECONDS = 10.0  # between lines that go to a file


class Display:
    """Progress on ``stream`` (stderr unless given). Lines said stay, the status is written over by the next."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._shown = ""
        self._last = 0.0

    def say(self, line: str) -> None:
        """Writes a line that stays."""
        self.clear()
        self._stream.write(line + "\n")
        self._stream.flush()

    def status(self, line: str) -> None:
        """Shows the present state: renewed in place on a terminal, else at most every ``EVERY_SECONDS``."""
        now = time.monotonic()
        if self._terminal:
            if now - self._last < 0.1:
                return
            line = line[: shutil.get_terminal_size().columns - 1]
            self._stream.write("\r" + line + " " * (len(self._shown) - len(line)))
            self._shown = line
        elif now - self._last < EVERY_SECONDS:
            return
        else:
            self._stream.write(line + "\n")
        self._last = now
        self._stream.flush()

    def clear(self) -> None:
        """Wipes the status line."""
        if self._shown:
            self._stream.write("\r" + " " * len(self._shown) + "\r")
            self._shown = ""


class Clock:
    """Estimates the time left from the steps and evaluations that this process has done."""

    def __init__(self, steps: int, evaluations: int) -> None:
        self._steps, self._evaluations = steps, evaluations
        self._step_seconds: float | None = None
        self._evaluation_seconds = 0.0

    def step(self, seconds: float) -> None:
        """Notes a step; recent ones count more, because pictures differ and a machine may become busy."""
        self._steps -= 1
        before = self._step_seconds
        self._step_seconds = seconds if before is None else 0.95 * before + 0.05 * seconds

    def evaluation(self, seconds: float) -> None:
        """Notes an evaluation."""
        self._evaluations -= 1
        self._evaluation_seconds = seconds

    @property
    def step_seconds(self) -> float:
        """Seconds that a step takes at present."""
        return self._step_seconds or 0.0

    @property
    def left(self) -> str:
        """Time left, for people."""
        seconds = self._steps * self.step_seconds + self._evaluations * self._evaluation_seconds
        return duration(seconds)


def duration(seconds: float) -> str:
    """``75`` → ``1:15``, ``3675`` → ``1:01:15``."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
