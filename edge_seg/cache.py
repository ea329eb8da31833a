"""The user's home and cache folder: what can be had again is kept there, so that nobody has to wait twice."""

from __future__ import annotations

import os
from pathlib import Path

from edge_seg.errors import EdgeSegError


def home_folder() -> Path:
    """The user's home; :class:`EdgeSegError` where there is none, as for a container's user whom nobody knows."""
    try:
        return Path.home()
    except RuntimeError:
        raise EdgeSegError(
            f"the user {os.getuid()} has no home folder: HOME isn't set, and the system doesn't know this user",
            remedy="set HOME to a folder that you may write to",
            code="no-home",
        ) from None


def cache_folder() -> Path:
    """``EDGE_SEG_CACHE``, else ``edge-seg`` in the user's cache folder (XDG_CACHE_HOME, else ``~/.cache``)."""
    named = os.environ.get("EDGE_SEG_CACHE")
    if named:
        beyond = named[1:].lstrip("/")
        return home_folder() / beyond if named[:2] in ("~", "~/") else Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification asks to ignore what isn't absolute.
    return (Path(base) if os.path.isabs(base) else home_folder() / ".cache") / "edge-seg"
