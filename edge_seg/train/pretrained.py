"""Published weights by name: where they are fetched from (``pretrained.json``), and where they are kept.

Nobody publishes checksums of these files. So the hash of the first download is written beside the file, and compared
whenever it is used or fetched again: what has changed since is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from edge_seg.cache import cache_folder
from edge_seg.data.download import fetch as download
from edge_seg.errors import DataError, UsageError
from edge_seg.files import sha256, write_text
from edge_seg.plain import from_plain

TABLE = Path(__file__).with_name("pretrained.json")
SCHEMA = 1
MIRROR = "EDGE_SEG_MIRROR"
"""Names the address of a folder that holds the files under their own names, to be asked in place of the publisher."""

_REACH_SECONDS = 3.0


@dataclass(frozen=True)
class Pretrained:
    """One published file. ``data`` is what it was trained on: "imagenet" (a backbone) or "coco" (a detector)."""

    name: str
    model: str
    data: str
    url: str
    size_mb: float
    source: str

    @property
    def address(self) -> str:
        """Where it is fetched from: the publisher's, or the mirror's."""
        mirror = os.environ.get(MIRROR)
        return f"{mirror.rstrip('/')}/{self.file_name}" if mirror else self.url

    @property
    def file_name(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name

    @property
    def path(self) -> Path:
        """Its place in the cache."""
        return cache_folder() / "weights" / self.name / self.file_name

    @property
    def cached(self) -> bool:
        return self.path.is_file()


def load_table() -> tuple[Pretrained, ...]:
    """All that is known, in the table's order."""
    content = json.loads(TABLE.read_text(encoding="utf-8"))
    assert content["schema"] == SCHEMA
    return tuple(from_plain(Pretrained, entry, str(TABLE), DataError) for entry in content["weights"])


def coco_classes() -> tuple[str, ...]:
    """COCO's 80 classes in the order of their labels in published detectors: by category id."""
    return tuple(json.loads(TABLE.read_text(encoding="utf-8"))["coco_classes"])


def find(name: str) -> Pretrained:
    """The weights of that name; :class:`UsageError`, listing the names, when there are none."""
    table = load_table()
    for entry in table:
        if entry.name == name:
            return entry
    raise UsageError(
        f"no published weights named {name!r}",
        remedy=f"choose one of: {', '.join(entry.name for entry in table)}",
        code="unknown-weights",
    )


def find_for(model: str, data: str) -> Pretrained | None:
    """The published weights of the zoo's ``model`` that were trained on ``data``."""
    return next((entry for entry in load_table() if (entry.model, entry.data) == (model, data)), None)


def fetch(entry: Pretrained, *, progress: Callable[[int, int | None], None] | None = None) -> Path:
    """The file in the cache, downloaded if it isn't there; raises :class:`DataError` when its content has changed."""
    return _fetch(entry.address, entry.path, progress)


def _fetch(address: str, path: Path, progress: Callable[[int, int | None], None] | None = None) -> Path:
    note = path.with_name(path.name + ".sha256")
    download(address, path, progress=progress)
    found = sha256(path)
    kept = note.read_text(encoding="ascii", errors="replace").strip() if note.is_file() else ""
    if kept and kept != found:
        raise DataError(
            f"{path}: has sha256 {found}, and {kept} when it was first downloaded",
            remedy=f"it was altered since: delete {path.parent} to accept what {address} holds now",
            code="weights-changed",
        )
    if not kept:
        write_text(note, found + "\n")
    return path


def locate(text: str, model: str, say: Callable[[str], None]) -> tuple[Path | None, tuple[str, ...] | None]:
    """The file that ``--weights`` means, fetched if need be, and its classes where its origin tells them.

    ``text`` is a path, an address, a name of the table, "imagenet" or "coco" for those of ``model``, "none", or "" for
    the default: ImageNet's where they can be had. What is found, or missing, is told to ``say``.
    """
    if text == "none":
        return None, None
    if text.startswith(("http://", "https://")):
        say(f"fetching {text}")
        folder = cache_folder() / "weights" / hashlib.sha256(text.encode()).hexdigest()[:12]
        return _fetch(text, folder / PurePosixPath(urlsplit(text).path).name), None
    if text not in ("", "imagenet", "coco") and all(text != entry.name for entry in load_table()):
        return Path(text), None
    entry = find_for(model, text or "imagenet") if text in ("", "imagenet", "coco") else find(text)
    if entry is None:
        if text:
            raise UsageError(f"no {text} weights of {model} are published", remedy="give a file, or leave it out")
        return None, None
    if text == "":
        if not entry.cached and not is_reachable(entry.address):
            say(f"Warning: no ImageNet weights ({entry.address} can't be reached)")
            return None, None
        try:
            return _fetched(entry, say), None
        except DataError as problem:
            say(f"Warning: no ImageNet weights: {problem.message}")
            return None, None
    return _fetched(entry, say), coco_classes() if entry.data == "coco" else None


def _fetched(entry: Pretrained, say: Callable[[str], None]) -> Path:
    if not entry.cached:
        say(f"fetching {entry.name}: {entry.address}, {entry.size_mb:g} MB")
    return fetch(entry)


def is_reachable(url: str) -> bool:
    """Whether something answers at the address within seconds; behind a proxy only trying tells."""
    parts = urlsplit(url)
    if urllib.request.getproxies().get(parts.scheme):
        return True
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((parts.hostname or "", port), _REACH_SECONDS):
            return True
    except OSError:
        return False
