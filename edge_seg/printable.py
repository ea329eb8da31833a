"""Text from outside (a board, a file, an archive, a model) before it reaches a terminal.

A class name or a board's message may hold control sequences: they set a terminal's title, hide lines, or turn the
direction of writing round. Everything that a command prints goes through :class:`PrintableStream`.
"""

from __future__ import annotations

import re
from typing import Any, TextIO

# Control characters but for line breaks, tabs and the carriage return of a line that renews itself; marks that turn the
# direction of writing round; other line breaks; halves of characters, as in names that aren't UTF-8.
_OBEYED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: str, most: int = 200) -> str:
    """One line: ``text`` with what a terminal would obey or can't show escaped, cut short past ``most`` characters."""
    shown = "".join(c if c.isprintable() else _escaped(c) for c in text[:most])
    return shown if len(text) <= most else shown + "…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def terminal_of(stream: TextIO) -> TextIO:
    """What stands behind ``stream``: for a bar, which moves the cursor, and prints nothing from outside."""
    behind: TextIO = getattr(stream, "terminal", stream)
    return behind


class PrintableStream:
    """A text stream that escapes what a terminal would obey; otherwise it is the stream that it stands before.

    What is meant to move the cursor, such as a progress bar, is written to :attr:`terminal` (:func:`terminal_of`).
    """

    def __init__(self, stream: TextIO) -> None:
        self.terminal = stream

    def write(self, text: str) -> int:
        """Writes ``text``, which may be longer once it is escaped."""
        self.terminal.write(_OBEYED.sub(lambda match: _escaped(match[0]), text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Writes all ``lines``."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)
