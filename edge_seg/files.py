"""Files and folders that are whole or not there: write beside, then rename."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_seg.errors import EdgeSegError

TEMPORARY_MARK = ".edge-seg-partial-"


def _beside(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY_MARK}{path.name}-{os.getpid()}-{secrets.token_hex(3)}")


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a path beside ``path``; on success it takes ``path``'s place, on any failure it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Yields a new folder beside ``path``; on success it takes ``path``'s place, on any failure it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    partial.mkdir()
    old = _beside(path)
    try:
        yield partial
        if path.exists():
            path.rename(old)
        try:
            partial.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path, error: type[EdgeSegError]) -> Any:
    """The file's JSON value; ``error`` is raised, naming file, line and column, when it can't be had."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except UnicodeDecodeError as problem:
        raise error(f"{path}: not UTF-8 text (byte {problem.start})") from None
    except json.JSONDecodeError as problem:
        raise error(f"{path}: invalid JSON at line {problem.lineno}, column {problem.colno}: {problem.msg}") from None
    except OSError as problem:
        raise error(f"{path}: can't be read: {problem.strerror}") from None


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
