"""Instance segmentation for small devices: train Mask R-CNN, convert it, run it, measure it.

``Segmenter`` is imported when first asked for, so that ``import edge_seg`` (and every ``--help``) stays fast.
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

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_seg.runtime.segmenter import Segmenter

__version__ = "0.1.0"

__all__ = ["Segmenter", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Segmenter":
        from edge_seg.install import explained_imports

        with explained_imports():
            from edge_seg.runtime.segmenter import Segmenter
        return Segmenter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
