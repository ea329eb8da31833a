"""Words that messages need in more than one place."""

from __future__ import annotations


def counted(number: float, noun: str, plural: str = "") -> str:
    """``1 image``, ``2,000 images``, ``2.35 boxes``; ``plural`` for a noun that takes more than an s or es."""
    text = f"{int(number):,}" if number == int(number) else f"{number:.3g}"
    several = plural or noun + ("es" if noun.endswith(("s", "x", "ch")) else "s")
    return f"{text} {noun if text == '1' else several}"
