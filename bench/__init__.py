"""Measuring: bundles on targets under scenarios become records; records become tables and pages."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.measure import Failure as Failure
    from bench.measure import Settings as Settings
    from bench.measure import measure as measure
    from bench.table import make_table as make_table

_PUBLIC = {
    "measure": "bench.measure",
    "Settings": "bench.measure",
    "Failure": "bench.measure",
    "make_table": "bench.table",
    "make_report": "bench.page",
}


def __getattr__(name: str) -> Any:
    """Looked up when asked for: `edge-seg bench --help` needs none of it."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
