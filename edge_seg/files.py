"""Files and folders that are whole or not there: write beside, then rename."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Set
from pathlib import Path
from typing import Any, NoReturn

from edge_seg.errors import EdgeSegError, UsageError

TEMPORARY_MARK = ".edge-seg-partial-"

# The host is part of the name because a shared folder may hold the partial files of another machine's processes.
HOST = hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:6]
"""This machine, in names of files that several machines may leave in one folder."""
_PARTIAL = re.compile(re.escape(TEMPORARY_MARK) + r"([^/]+)-([0-9a-f]{6})-(\d+)-[0-9a-f]{6}(?=/|$)")

_AGAIN = "copy the file again, or undo what was edited in it"

# Told of every partial file and folder that is begun; a guarded command's parent removes them if the process dies.
announce: Callable[[Path], None] | None = None

_swept: set[Path] = set()

Ours = Callable[[Path], Set[str]]
"""Names, relative to a folder, of the files in it that edge-seg wrote."""


def final_name(path: str) -> str:
    """``path`` with a partial file's or folder's name replaced by the one that it is to get."""
    return _PARTIAL.sub(r"\1", path)


def _beside(path: Path) -> Path:
    _sweep(path.parent)
    # Names have at most 255 bytes.
    partial = path.with_name(f"{TEMPORARY_MARK}{path.name[:100]}-{HOST}-{os.getpid()}-{secrets.token_hex(3)}")
    if announce is not None:
        announce(partial)
    return partial


def _sweep(folder: Path) -> None:
    """Removes what killed processes left in ``folder``; once a process, since a folder may hold many files."""
    if folder in _swept:
        return
    _swept.add(folder)
    for entry in list(os.scandir(folder)):
        match = _PARTIAL.fullmatch(entry.name)
        if match and match[2] == HOST and is_gone(int(match[3])):
            remove(Path(entry.path))


def is_gone(pid: int) -> bool:
    """Whether no process of this machine has that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def remove(path: Path) -> None:
    """Removes a file or a folder with all that is in it, as far as that can be done; no error if it isn't there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """A failed write (disk full) doesn't say which file: adds the name."""
    try:
        yield
    except OSError as problem:
        if problem.errno is not None and problem.filename is None:
            problem.filename = str(path)
        raise


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a path beside ``path``; on success it takes ``path``'s place, on any failure it is removed.

    Raises UsageError where something other than a file stands there: root can replace even /dev/null.
    """
    path = path.resolve()  # a symbolic link stays one
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "a device, pipe or socket"
        raise UsageError(f"{path}: {what}; a file is to be written here", remedy="use another name", code="exists")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    try:
        with named(path):
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_dir(path: Path, *, mark: str | None = None, ours: Ours | None = None) -> Iterator[Path]:
    """Yields a new folder beside ``path``; on success it takes ``path``'s place, on any failure it is removed.

    An existing folder is replaced only as :func:`check_replaceable` allows (``--out ~`` must not cost anyone a home
    folder). Raises :class:`UsageError` otherwise.
    """
    path = path.resolve()
    check_replaceable(path, mark, ours)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    old = _beside(path)
    partial.mkdir()
    try:
        with named(path):
            yield partial
        if path.exists():
            path.rename(old)
        partial.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        remove(partial)
        remove(old)


@contextlib.contextmanager
def scratch_dir(near: Path) -> Iterator[Path]:
    """Yields a new folder beside ``near``, on the same file system, for intermediate files; always removed."""
    near = near.resolve()
    near.parent.mkdir(parents=True, exist_ok=True)
    scratch = _beside(near)
    scratch.mkdir()
    try:
        with named(near):
            yield scratch
    finally:
        remove(scratch)


def check_replaceable(path: Path, mark: str | None, ours: Ours | None = None) -> None:
    """Raises :class:`UsageError` when ``path`` may not be replaced.

    It may be free, an empty folder, one that holds ``mark``, a file by which it is known as one of ours, or one that
    holds nothing but what ``ours`` names.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise UsageError(f"{path}: a file; a folder is to be written here", remedy="use another name", code="exists")
    if not any(path.iterdir()) or (mark and (path / mark).is_file()):
        return
    examples, remedy = "", "use a new folder, or empty this one"
    if known := ours(path) if ours else None:
        foreign = list(itertools.islice(_others(path, known), 4))
        if not foreign:
            return
        examples = f" ({', '.join(foreign[:3])}{', …' if len(foreign) > 3 else ''})"
        remedy = "move them away, or use a new folder"
    expected = f", and no {mark} that would show it is one of edge-seg's" if mark else ""
    message = f"{path}: the folder holds other files{examples}{expected}; it stays as it is"
    raise UsageError(message, remedy=remedy, code="exists")


def _others(folder: Path, known: Set[str]) -> Iterator[str]:
    """Names, relative to ``folder``, of the files anywhere in it that aren't ``known``."""
    for entry in folder.rglob("*"):
        name = str(entry.relative_to(folder))
        if name not in known and (entry.is_symlink() or not entry.is_dir()):
            yield name


def refuse_non_utf8(path: Path) -> None:
    """UsageError when the whole path isn't UTF-8: neither paddle nor Paddle Lite can open such a file."""
    try:
        os.path.abspath(path).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{path}: its path isn't UTF-8, and the engines' libraries open no other",
            remedy="rename it, or use another folder",
            code="name-not-utf8",
        ) from None


def refuse_overwriting(out: Path, inputs: Iterable[Path]) -> None:
    """Raises :class:`UsageError` when ``out`` is one of ``inputs``, or lies in one that is a folder; links count."""
    place = out.resolve()
    for path in inputs:
        there = path.resolve()
        if place.is_relative_to(there):
            what = "would be overwritten, and it is an input" if place == there else f"lies in {path}, an input"
            raise UsageError(f"{out}: {what} of this command", remedy="write to another file", code="overwrites-input")


def refuse_other_kind(out: Path, begins: bytes, kind: str) -> None:
    """Raises :class:`UsageError` when ``out`` is there, isn't empty, and doesn't begin as a file of its kind does."""
    if out.is_file():
        with out.open("rb") as file:
            found = file.read(len(begins))
        if found and found.lower() != begins:
            message = f"{out}: exists, and is not {kind} that could be replaced"
            raise UsageError(message, remedy="use another name", code="exists")


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON with sorted keys: the same value gives the same bytes. NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path, error: type[EdgeSegError]) -> Any:
    """The file's JSON value; ``error`` is raised, naming file, line and column, when it can't be had."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except UnicodeDecodeError as problem:
        raise error(f"{path}: not UTF-8 text (byte {problem.start})", remedy=_AGAIN) from None
    except json.JSONDecodeError as problem:
        where = f"line {problem.lineno}, column {problem.colno}"
        raise error(f"{path}: invalid JSON at {where}: {problem.msg}", remedy=_AGAIN) from None
    except ValueError as problem:  # NaN, or a whole number of thousands of digits
        raise error(f"{path}: invalid JSON: {problem}", remedy=_AGAIN) from None
    except RecursionError:
        raise error(f"{path}: invalid JSON: nested too deep", remedy=_AGAIN) from None
    except OSError as problem:
        raise error(f"{path}: can't be read: {problem.strerror}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def sha256(path: Path) -> str:
    """The file's SHA-256, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
