"""What a training shows on stderr: on a terminal a bar that renews itself (rich), now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from edge_seg.printable import printable, terminal_of

if TYPE_CHECKING:
    from rich.live import Live

EVERY_SECONDS = 10.0  # between lines that go to a file
RENEWED_SECONDS = 0.1  # between redraws of the bar
_LONGEST_LINE = 4000


class Display:
    """Progress on ``stream`` (stderr unless given). Lines said stay, the status is renewed in place.

    Use it in a ``with``, or call :meth:`clear`: the terminal gets its line back then. ``quiet`` shows nothing.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._terminal = not quiet and self._stream.isatty()
        self._quiet = quiet
        self._live: Live | None = None
        self._last = 0.0

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def say(self, line: str) -> None:
        """Writes a line that stays."""
        if self._quiet:
            return
        if self._live is None:
            self._stream.write(line + "\n")
            self._stream.flush()
        else:
            # Above the bar; what a terminal would obey is escaped, since this doesn't go through the stream.
            self._live.console.print(printable(line, _LONGEST_LINE), markup=False, highlight=False, soft_wrap=True)

    def status(
        self, what: str, done: int = 0, total: int = 0, details: Mapping[str, str] | None = None, left: str = ""
    ) -> None:
        """Shows how far it is: renewed on a terminal, else at most a line every ``EVERY_SECONDS``.

        ``total`` 0 is not known. ``details`` are values by their names, ``left`` the time left.
        """
        now = time.monotonic()
        if self._quiet or now - self._last < (RENEWED_SECONDS if self._terminal else EVERY_SECONDS):
            return
        self._last = now
        details = details or {}
        if self._terminal:
            self._show(_bar(what, done, total, details, left))
            return
        words = [f"{what} {done}/{total}" if total else what, *(f"{name} {value}" for name, value in details.items())]
        self._stream.write(" ".join(words) + (f", {left} left" if left else "") + "\n")
        self._stream.flush()

    def clear(self) -> None:
        """Wipes the status."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show(self, content: Any) -> None:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            # The bar moves the cursor, which the printable stream would escape.
            console = Console(file=terminal_of(self._stream))
            self._live = Live(
                console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
            console.show_cursor(True)  # a killed training leaves the terminal as it was
        self._live.update(content, refresh=True)


def _bar(what: str, done: int, total: int, details: Mapping[str, str], left: str) -> Any:
    """A bar, and below it the details as far as they fit."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    if not total:
        return Text(printable(what, _LONGEST_LINE), no_wrap=True, overflow="ellipsis")
    line = Table.grid(padding=(0, 1))
    line.add_row(
        Text(f"{what} {done}/{total}"), ProgressBar(total, done, width=30), Text(f"{left} left" if left else "")
    )
    values = [Text.assemble((name + " ", "dim"), value) for name, value in details.items()]
    return Group(line, Columns(values, padding=(0, 2))) if values else line


class Clock:
    """Estimates the time left from the steps and evaluations that this process has done."""

    def __init__(self, steps: int, evaluations: int) -> None:
        self._steps, self._evaluations = steps, evaluations
        self._step_seconds: float | None = None
        self._evaluation_seconds = 0.0

    def step(self, seconds: float) -> None:
        """Notes a step; recent ones count more, because images differ and a machine may become busy."""
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
