"""Files and folders that are whole or not there: write beside, then rename."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import itertools
import json
import os
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Set
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from edge_seg import limits, partial
from edge_seg.errors import EdgeSegError, UsageError
from edge_seg.partial import HOST, final_name, remove

__all__ = ["HOST", "final_name", "remove"]

_AGAIN = "copy the file again, or undo what was edited in it"

Ours = Callable[[Path], Set[str]]
"""Names, relative to a folder, of the files in it that edge-seg wrote."""


def is_gone(pid: int) -> bool:
    """Whether no process of this machine has that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


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
    with named(path), partial.file_beside(path) as beside:
        yield beside
        partial.flush(beside)
        beside.replace(path)
        partial.flush_name(path)


@contextlib.contextmanager
def atomic_dir(path: Path, *, mark: str | None = None, ours: Ours | None = None) -> Iterator[Path]:
    """Yields a new folder beside ``path``; on success it takes ``path``'s place, on any failure it is removed.

    An existing folder is replaced only as :func:`check_replaceable` allows (``--out ~`` must not cost anyone a home
    folder). Raises :class:`UsageError` otherwise.
    """
    path = path.resolve()
    check_replaceable(path, mark, ours)
    path.parent.mkdir(parents=True, exist_ok=True)
    with named(path), partial.folder_beside(path) as beside:
        yield beside
        check_replaceable(path, mark, ours)  # once more: another process may have written there meanwhile
        partial.take_place(beside, path)


@contextlib.contextmanager
def changed_dir(path: Path) -> Iterator[Path]:
    """Yields a copy of the folder ``path`` beside it; on success it takes ``path``'s place, on any failure it goes.

    For files that fit together only all as they were or all as they are to be. Those that aren't written anew are
    linked, not copied, so they must be replaced (:func:`atomic_file`), not written into.
    """
    path = path.resolve()
    with named(path), partial.folder_beside(path) as beside:
        shutil.copytree(path, beside, symlinks=True, copy_function=_link, dirs_exist_ok=True)
        yield beside
        partial.take_place(beside, path)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another user's file, or a file system without links
        shutil.copy2(source, target, follow_symlinks=False)


@contextlib.contextmanager
def scratch_dir(near: Path) -> Iterator[Path]:
    """Yields a new folder beside ``near``, on the same file system, for intermediate files; always removed."""
    near = near.resolve()
    near.parent.mkdir(parents=True, exist_ok=True)
    with named(near), partial.folder_beside(near) as scratch:
        yield scratch


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


@contextlib.contextmanager
def locked(path: Path, busy: EdgeSegError | None) -> Iterator[None]:
    """Holds ``path``, a file or a folder that is there, against every other process that asks for it.

    While another holds it, raises ``busy``, or waits where there is none.
    The lock ends with the process, however it ends. A file system without locks holds nobody off.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except OSError as problem:
            if busy and isinstance(problem, BlockingIOError):
                raise busy from None
        yield
    finally:
        os.close(descriptor)


def open_regular(path: Path, error: type[EdgeSegError], what: str = "file") -> BinaryIO:
    """Opens a regular file for reading; a pipe may never end, and a device (/dev/zero) never stop.

    Raises ``error`` (codes ``file-missing``, ``file-unreadable``), naming the file as the ``what`` that was expected.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        raise error(f"{path}: no such {what}", remedy="check the path", code="file-missing") from None
    except OSError as problem:
        raise error(f"{path}: can't be read: {problem.strerror}", code="file-unreadable") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        remedy = "give a file" if stat.S_ISDIR(mode) else f"write the {what} to a file, and give that"
        raise error(f"{path}: {kind}, expected a {what}", remedy=remedy, code="file-unreadable")
    return os.fdopen(descriptor, "rb")


def read_limited(path: Path, error: type[EdgeSegError], most: int, what: str = "file") -> bytes:
    """The content of a regular file of at most ``most`` bytes; otherwise ``error``, as :func:`open_regular`."""
    with open_regular(path, error, what) as file:
        try:
            content = file.read(most + 1)
        except OSError as problem:
            raise error(f"{path}: can't be read: {problem.strerror}", code="file-unreadable") from None
        if len(content) > most:
            size = max(os.fstat(file.fileno()).st_size, len(content))
            raise error(
                f"{path}: {size:,} bytes, expected at most {most:,} of a {what}",
                remedy="check that it is the file that you meant",
                code="file-too-large",
            )
        return content


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8."""
    with atomic_file(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON with sorted keys: the same value gives the same bytes. NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(
    path: Path,
    error: type[EdgeSegError],
    most: int = limits.JSON_BYTES,
    *,
    allow_nan: bool = False,
    repeated: set[str] | None = None,
) -> Any:
    """The file's JSON value; ``error`` is raised, naming file, line and column, when it can't be had.

    The file has at most ``most`` bytes. A byte order mark, which Windows programs write, is skipped. ``allow_nan``
    leaves NaN to the reader of the value, which can tell where it stands. ``repeated``, when given, gets the names that
    stand twice in one object, of which the last is taken.
    """
    content = read_limited(path, error, most)
    constants = None if allow_nan else _refuse_constant
    pairs = None if repeated is None else functools.partial(_object, repeated)
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=constants, object_pairs_hook=pairs)
    except UnicodeDecodeError as problem:
        raise error(f"{path}: not UTF-8 text (byte {problem.start})", remedy=_AGAIN) from None
    except json.JSONDecodeError as problem:
        where = f"line {problem.lineno}, column {problem.colno}"
        raise error(f"{path}: invalid JSON at {where}: {problem.msg}", remedy=_AGAIN) from None
    except ValueError as problem:  # NaN, or a whole number of thousands of digits
        raise error(f"{path}: invalid JSON: {problem}", remedy=_AGAIN) from None
    except RecursionError:
        raise error(f"{path}: invalid JSON: nested too deep", remedy=_AGAIN) from None


def _object(repeated: set[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated.update(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def sha256(path: Path) -> str:
    """The file's SHA-256, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
