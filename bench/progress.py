"""What a measurement on several boards shows while it runs."""

from __future__ import annotations

import shutil
import sys
import threading

import click


class Progress:
    """One line on stderr that is written over, with what each board does; nothing where stderr isn't a terminal."""

    def __init__(self) -> None:
        self._width = 0
        self._doing: dict[str, str] = {}
        self._lock = threading.Lock()

    def show(self, board: str, text: str) -> None:
        """Replaces what is shown of that board."""
        if not sys.stderr.isatty():
            return
        with self._lock:
            self._doing[board] = text
            several = len(self._doing) > 1
            line = "   ".join(f"{name}: {words}" if several else words for name, words in self._doing.items())
            line = line[: max(20, shutil.get_terminal_size().columns - 1)]
            click.echo(f"\r{line.ljust(self._width)}", nl=False, err=True)
            self._width = len(line)

    def clear(self) -> None:
        """Takes the line away."""
        with self._lock:
            if self._width:
                click.echo(f"\r{' ' * self._width}\r", nl=False, err=True)
                self._width = 0
