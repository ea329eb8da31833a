"""Text from outside (a board, a file, an archive, a model) before it reaches a terminal.

A class name or a board's message may hold control sequences: they set a terminal's title, hide lines, or turn the
direction of writing round.
"""

from __future__ import annotations

MESSAGE = 20_000
"""The most characters of one message."""


def printable(text: str, most: int = 200) -> str:
    """One line: ``text`` with what a terminal would obey or can't show escaped, cut short past ``most`` characters."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:most])
    return shown if len(text) <= most else shown + "…"


def printable_lines(text: str, most: int = MESSAGE) -> str:
    """Like :func:`printable`, but line breaks stay, and tabs become spaces."""
    shown = "\n".join(printable(line, most) for line in text[:most].expandtabs(4).split("\n"))
    return shown if len(text) <= most else shown + "…"
