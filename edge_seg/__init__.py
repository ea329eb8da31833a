"""Instance segmentation for small devices: train Mask R-CNN, convert it, run it, measure it.

``Segmenter`` is imported when first asked for, so that ``import edge_seg`` (and every ``--help``) stays fast.
"""

from __future__ import annotations

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
