"""Partial files and folders: written beside the place that they are to take, and what becomes of those left behind.

A partial is locked (``flock``) by the process that writes it, so that every other process can tell whether that one
still lives: also one of another container, whose process numbers mean nothing here. What nobody holds any more is
removed by the next command that writes into the same folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

MARK = ".edge-seg-partial-"
_AROUND = ".edge-seg-partial-file-"
"""A folder with one entry: a file that is being written."""
_REPLACED = ".edge-seg-replaced-"
"""A folder with one entry: the folder that was to be replaced, for the moment in which neither has its name."""

# The host is part of the name because a shared folder may hold the partial files of another machine's processes, and
# not every network file system passes locks on.
HOST = hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:6]
"""This machine, in names of files that several machines may leave in one folder."""
_FORM = re.compile(r"\.edge-seg-(?:partial|replaced)-([^/]+)-([0-9a-f]{6})-\d+-[0-9a-f]{6}(?=/|$)")
_AROUND_FORM = re.compile(re.escape(_AROUND) + r"[^/]+-[0-9a-f]{6}-\d+-[0-9a-f]{6}/")

# Told of every partial file and folder that is begun; a guarded command's parent clears them away if the process dies.
announce: Callable[[Path], None] | None = None

_swept: set[Path] = set()

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
# Where the file system or the kernel can't exchange two names: then two renames do it.
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM)


def final_name(path: str) -> str:
    """``path`` with a partial file's or folder's name replaced by the one that it is to get."""
    return _FORM.sub(r"\1", _AROUND_FORM.sub("", path))


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yields a new, locked folder beside ``path``; what has its name afterwards is removed."""
    with _held(path, MARK) as partial:
        try:
            yield partial
        finally:
            remove(partial)


@contextlib.contextmanager
def file_beside(path: Path) -> Iterator[Path]:
    """Yields the name of a partial file beside ``path``; what has its name afterwards is removed.

    The file isn't there yet: whoever writes it may do so in its own way. A locked folder stands around it.
    """
    with _held(path, _AROUND) as around:
        try:
            yield around / path.name
        finally:
            remove(around)


def take_place(partial: Path, path: Path) -> None:
    """Gives the folder ``partial`` the name of the folder ``path``, if there is one; ``partial`` is the old one then.

    At every moment there is the old or the new folder under that name. Where the file system can't exchange names, a
    process that is killed between two renames leaves the old one to :func:`sweep`, which puts it back.
    """
    flush(partial)
    if path.exists() and any(path.iterdir()):
        _exchange(partial, path)
    else:
        partial.rename(path)
    _flush_folder(path.parent)


def flush(path: Path) -> None:
    """Writes a file, or a folder with all that is in it, through to the disk."""
    if not path.is_dir():
        _fsync(path)
        return
    for folder, _, files in os.walk(path):
        for name in files:
            _fsync(Path(folder, name))
        _flush_folder(Path(folder))


def flush_name(path: Path) -> None:
    """Writes through that a file or folder has the name ``path``."""
    _flush_folder(path.parent)


def _fsync(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(path: Path) -> None:
    # Not every file system can flush a folder; the renames are in order all the same.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _exchange(partial: Path, path: Path) -> None:
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    number = errno.ENOSYS
    if call is not None:
        if call(_AT_FDCWD, os.fsencode(partial), _AT_FDCWD, os.fsencode(path), _RENAME_EXCHANGE) == 0:
            return
        number = ctypes.get_errno()
    if number not in _NO_EXCHANGE:
        raise OSError(number, os.strerror(number), str(path))
    with _held(path, _REPLACED) as around:
        try:
            path.rename(around / path.name)
            partial.rename(path)
        finally:
            clear(around)


@contextlib.contextmanager
def _held(path: Path, mark: str) -> Iterator[Path]:
    """A new folder beside ``path`` whose name tells what it is for, locked while the block runs."""
    sweep(path.parent)
    # Names have at most 255 bytes.
    start = os.fsencode(path.name)[:100].decode("utf-8", errors="ignore")
    while True:
        name = path.with_name(f"{mark}{start}-{HOST}-{os.getpid()}-{secrets.token_hex(3)}")
        if announce is not None:
            announce(name)
        name.mkdir()
        with _lock(name, wait=True) as locked:
            # Between the two a sweep may have found it without a lock, and removed it.
            if not locked or _is_same(name, locked):
                yield name
                return


@contextlib.contextmanager
def _lock(path: Path, *, wait: bool) -> Iterator[int | None]:
    """Locks a file or folder: yields its descriptor, None where the file system has no locks or another holds it."""
    descriptor: int | None = None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        held: int | None = descriptor
    except OSError:
        held = None
    try:
        yield held
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _is_same(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except OSError:
        return False


def sweep(folder: Path) -> None:
    """Clears away what processes that were killed left in ``folder``; once a process, since a folder may be large.

    It never fails: what can't be cleared away stays.
    """
    if folder in _swept:
        return
    _swept.add(folder)
    with contextlib.suppress(OSError):
        for name in [entry.name for entry in os.scandir(folder) if entry.name.startswith((MARK, _REPLACED))]:
            match = _FORM.fullmatch(name)
            if match and match[2] == HOST:
                with _lock(folder / name, wait=False) as locked:
                    if locked is not None:
                        clear(folder / name)


def clear(path: Path) -> None:
    """Removes a partial file or folder that nobody writes any more; a folder that it replaced goes back to its place.

    No error if it isn't there or can't be removed.
    """
    if path.name.startswith(_REPLACED):
        with contextlib.suppress(OSError):
            for replaced in path.iterdir():
                if not os.path.lexists(path.parent / replaced.name):
                    replaced.rename(path.parent / replaced.name)
    remove(path)


def discard(path: Path) -> None:
    """:func:`remove` of which a kill leaves the whole or nothing under that name."""
    try:
        with folder_beside(path) as aside:
            path.rename(aside / path.name)
    except OSError:
        remove(path)


def remove(path: Path) -> None:
    """Removes a file or a folder with all that is in it, as far as that can be done; no error if it isn't there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
