"""Finds the image file that an annotation file means, whatever machine it was written on.

Names hold backslashes, drive letters, addresses of an annotation server, ``..``, another case or another ending. A
file is taken for such a name only where there is one candidate.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from urllib.parse import parse_qs, unquote, urlsplit

from edge_seg.data.outline import Fault, shown
from edge_seg.runtime.image import SUFFIXES

_KNOWN = SUFFIXES | {".gif", ".heic", ".avif"}
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{6,8}-")
"""Label Studio puts this before the name of a file that was uploaded."""
_MOST_NEAREST = 20


@dataclass(frozen=True)
class Found:
    """An image file; ``exact`` says whether it has the very name."""

    path: Path
    exact: bool


class ImageFinder:
    """Looks in ``folders``, in that order, then anywhere below ``root``."""

    def __init__(self, folders: Sequence[Path], root: Path | None = None) -> None:
        self._folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
        self._root = root
        self._indices: list[dict[str, list[Path]]] | None = None
        self._nearest = 0

    def find(self, name: str) -> Found:
        """The file for ``name``. Raises :class:`Fault` when there is none, or none that can be told from others."""
        for folder in self._folders:
            if _is_file(folder / name):
                return Found(folder / name, True)
        parts = name_parts(name)
        if not parts:
            raise Fault("image-missing", f"expected a file name, found {name!r}")
        for start in range(len(parts)):
            for folder in self._folders:
                path = folder.joinpath(*parts[start:])
                if _is_file(path):
                    return Found(path, False)
        last = parts[-1]
        wanted = [*_keys(last)]
        if _UPLOAD_PREFIX.match(last):
            wanted += _keys(_UPLOAD_PREFIX.sub("", last))
        for key in wanted:
            for index in self._index():
                if candidates := list(filter(_is_file, index.get(key, ()))):  # links may lead nowhere
                    return Found(_only(name, parts, candidates), False)
        for folder in self._folders:
            if os.path.lexists(folder / last):
                raise Fault(
                    "image-missing", f"{folder / last}: a link that leads nowhere, a folder or a pipe, not a file"
                )
        raise Fault("image-missing", f"no image {shown(name)} in {self._places()}{self._near(last)}")

    def _places(self) -> str:
        return ", ".join(str(folder) for folder in self._folders) or str(self._root)

    def _near(self, last: str) -> str:
        self._nearest += 1
        if self._nearest > _MOST_NEAREST:  # comparing with every file takes long in large sets
            return ""
        names = {path.name for index in self._index() for paths in index.values() for path in paths}
        near = difflib.get_close_matches(last, names, 1)
        return f"; the nearest name is {near[0]!r}" if near else ""

    def _index(self) -> list[dict[str, list[Path]]]:
        """Files by lower-case name, and by name with ``.*`` for the ending: of the folders, then of all below root."""
        if self._indices is None:
            own: dict[str, list[Path]] = {}
            for folder in self._folders:
                for entry in sorted(folder.iterdir()):
                    _add(own, entry)
            below: dict[str, list[Path]] = {}
            if self._root is not None:
                for file in files_below(self._root):
                    _add(below, file)
            self._indices = [own, below]
        return self._indices


def files_below(root: Path) -> Iterator[Path]:
    """All files in and below a folder, sorted; not hidden ones, nor what macOS adds to archives.

    Links to folders are followed, each folder once.
    """
    seen: set[str] = set()
    for place, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))


def name_parts(name: str) -> tuple[str, ...]:
    """The parts of a path or address, without drive, server, ``.`` and ``..``."""
    if "://" in name or "?d=" in name:
        with contextlib.suppress(ValueError):  # not an address after all
            address = urlsplit(name)
            local = parse_qs(address.query).get("d")  # Label Studio's local files: /data/local-files/?d=folder/a.jpg
            name = local[0] if local else unquote(address.path)
    path = PureWindowsPath(name)  # takes / and \
    return tuple(part for part in path.parts if part not in (path.anchor, ".", "..", "/", "\\"))


def _add(index: dict[str, list[Path]], path: Path) -> None:
    if path.suffix.lower() in _KNOWN and not path.name.startswith("."):
        for key in _keys(path.name):
            paths = index.setdefault(key, [])
            if path not in paths:
                paths.append(path)


def _keys(name: str) -> tuple[str, str]:
    """What names of one file have in common: case, blanks around it and the form of accents (macOS) are no matter.

    The second holds for any ending.
    """
    plain = unicodedata.normalize("NFC", name.strip()).casefold()
    stem, dot, _ending = plain.rpartition(".")
    return plain, f"{stem if dot else plain}.*"


def _only(name: str, parts: tuple[str, ...], candidates: list[Path]) -> Path:
    """Of several files the one whose folders agree best with the name's."""

    def agreeing(path: Path) -> int:
        pairs = zip(reversed(parts[:-1]), reversed(path.parts[:-1]), strict=False)
        count = 0
        for mine, theirs in pairs:
            if mine.casefold() != theirs.casefold():
                break
            count += 1
        return count

    best = max(map(agreeing, candidates))
    fitting = [path for path in candidates if agreeing(path) == best]
    if len(fitting) > 1:
        raise Fault("image-ambiguous", f"{name!r} may be any of {', '.join(str(path) for path in fitting[:3])}")
    return fitting[0]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero in it
        return False
