"""Instance segmentation for small devices: train Mask R-CNN, convert it, run it, measure it.

The names below are imported when first asked for, so that ``import edge_seg`` (and every ``--help``) stays fast.
"""

from __future__ import annotations

import sys

# `python -m edge_seg` looks for modules in the current folder first, where a user's json.py may lie. It goes before
# anything else is imported; a checkout that is the current folder and isn't installed stays.
if (
    sys.argv[:1] == ["-m"]  # while the module to run is being looked for
    and any(word.partition(".")[0] in ("edge_seg", "-medge_seg") for word in sys.orig_argv)
    and not getattr(sys.flags, "safe_path", False)
    and __file__ != f"{sys.path[0]}/edge_seg/__init__.py"
):
    del sys.path[0]

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_seg.bundle import Bundle, open_bundle
    from edge_seg.errors import EdgeSegError
    from edge_seg.runtime.result import Frame, Instances
    from edge_seg.runtime.segmenter import Segmenter

__version__ = "0.1.0"

__all__ = ["Bundle", "EdgeSegError", "Frame", "Instances", "Segmenter", "__version__", "open_bundle"]

_HOMES = {
    "Bundle": "edge_seg.bundle",
    "EdgeSegError": "edge_seg.errors",
    "Frame": "edge_seg.runtime.result",
    "Instances": "edge_seg.runtime.result",
    "Segmenter": "edge_seg.runtime.segmenter",
    "open_bundle": "edge_seg.bundle",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edge_seg.install import explained_imports

    with explained_imports():
        return getattr(importlib.import_module(_HOMES[name]), name)
