"""What a manifest holds, in words."""

from __future__ import annotations

import textwrap
from typing import Any

from edge_seg.manifest import TensorSpec
from edge_seg.printable import printable
from edge_seg.words import counted

WIDTH = 100


def phrase(value: Any) -> str:
    """A JSON value on one line: ``box_px 0.001, features (p2 1e-06, p3 2e-06), repeats yes``."""
    if isinstance(value, dict):
        return ", ".join(f"{printable(name)} {_inner(item)}" for name, item in value.items()) or "nothing"
    if isinstance(value, (list, tuple)):
        return ", ".join(_inner(item) for item in value) or "nothing"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:.6g}" if isinstance(value, float) else printable(str(value))


def _inner(value: Any) -> str:
    return f"({phrase(value)})" if isinstance(value, (dict, list, tuple)) else phrase(value)


def tensor(spec: TensorSpec) -> str:
    """``image float32[1, 3, 320, 480]``, with ? for a side known only at run time."""
    sides = ", ".join("?" if side == -1 else str(side) for side in spec.shape)
    return f"{printable(spec.name)} {printable(spec.dtype)}[{sides}]"


def megabytes(count: int) -> str:
    """``5.3 MB``, ``4.1 kB``, ``12 bytes``."""
    for unit, size in (("MB", 1_000_000), ("kB", 1_000)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return counted(count, "byte")


def table(rows: list[tuple[str, str]], most_lines: int = 6) -> str:
    """Rows of a name and a text, which is wrapped beside the names and cut short past ``most_lines``."""
    names = [printable(name, 40) for name, _ in rows]
    width = max(map(len, names), default=0) + 4
    lines = []
    for name, (_, text) in zip(names, rows, strict=True):
        lines += textwrap.wrap(
            text or "-",
            WIDTH,
            initial_indent=f"  {name}".ljust(width),
            subsequent_indent=" " * width,
            max_lines=most_lines,
            placeholder=" …",
        )
    return "\n".join(lines)
