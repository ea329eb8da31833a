"""The user's cache folder: what can be had again, and is kept so that nobody has to wait twice."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``EDGE_SEG_CACHE``, else ``edge-seg`` in the user's cache folder (XDG_CACHE_HOME, else ``~/.cache``)."""
    named = os.environ.get("EDGE_SEG_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification asks to ignore what isn't absolute.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "edge-seg"
