"""Measuring: bundles on targets under scenarios become records; records become tables and pages."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.measure import Failure as Failure
    from bench.measure import Settings as Settings
    from bench.measure import measure as measure
    from bench.page import make_page as make_report  # noqa: F401 - the public name
    from bench.table import make_table as make_table

_PUBLIC = {
    "measure": ("bench.measure", "measure"),
    "Settings": ("bench.measure", "Settings"),
    "Failure": ("bench.measure", "Failure"),
    "make_table": ("bench.table", "make_table"),
    "make_report": ("bench.page", "make_page"),
}


def __getattr__(name: str) -> Any:
    """Looked up when asked for: `edge-seg bench --help` needs none of it."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(importlib.import_module(module), attribute)
