"""Fetching a file over HTTP, going on where an earlier attempt stopped."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

from edge_seg import files
from edge_seg.errors import DataError, UsageError
from edge_seg.words import counted

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes of the whole file, None where the server doesn't say."""

ATTEMPTS = 4
PAUSE_SECONDS = 0.5
TIMEOUT_SECONDS = 30
BLOCK = 1 << 18
PARTIAL = ".part"
"""A download under way is ``NAME.part``; ``NAME.part.json`` says which version of the file that is a part of."""


def fetch(url: str, dest: Path, sha256: str | None = None, *, progress: Progress | None = None) -> Path:
    """Downloads ``url`` to the file ``dest``; what an earlier call left unfinished is gone on with.

    A ``dest`` that exists (and has the checksum, if one is given) is taken as it is. A connection that breaks is tried
    again. Raises :class:`DataError` when the file can't be had or doesn't have the checksum, :class:`UsageError` for an
    address that is not http(s).
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url}: not an address that begins with http:// or https://")
    if dest.is_file() and (sha256 is None or files.sha256(dest) == sha256.lower()):
        return dest
    dest.parent.mkdir(parents=True, exist_ok=True)
    partial = dest.with_name(dest.name + PARTIAL)
    _complete(url, partial, progress)
    if sha256 is not None and (found := files.sha256(partial)) != sha256.lower():
        _forget(partial)
        raise DataError(
            f"{url}: the file has sha256 {found}, expected {sha256.lower()}",
            remedy="it was altered, or damaged on the way: try again, and if it stays so ask who publishes it",
        )
    partial.replace(dest)
    _forget(partial)
    return dest


def _complete(url: str, partial: Path, progress: Progress | None) -> None:
    """Brings ``partial`` to the file's whole length; gives up after ``ATTEMPTS`` that brought nothing."""
    failures = 0
    while True:
        before = _size(partial)
        try:
            return _continue(url, partial, progress)
        except urllib.error.HTTPError as problem:
            reason = f"the server answers {problem.code} {problem.reason}"
            hopeless = problem.code < 500
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as problem:
            reason = str(problem.reason if isinstance(problem, urllib.error.URLError) else problem)
            hopeless = False
        failures = 1 if _size(partial) > before else failures + 1
        if hopeless or failures == ATTEMPTS:
            raise DataError(
                f"{url}: {reason}",
                remedy="check address and connection, then give the same command again: it goes on where it stopped",
            )
        time.sleep(PAUSE_SECONDS * failures)


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def _forget(partial: Path) -> None:
    for file in (partial, _note(partial)):
        file.unlink(missing_ok=True)


def _note(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


def _continue(url: str, partial: Path, progress: Progress | None) -> None:
    """Asks for what ``partial`` lacks and appends it; starts anew when the server's file is no longer the same."""
    have = _size(partial)
    version = _read_note(partial, url) if have else None
    headers = {"User-Agent": "edge-seg", "Accept-Encoding": "identity"}
    if version is not None:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as problem:
        if problem.code == 416 and problem.headers.get("Content-Range") == f"bytes */{have}":
            return  # all of it is there already
        if problem.code == 416:
            _forget(partial)
            raise ConnectionError("the file has become shorter on the server") from None
        raise
    with answer:
        resumed = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if answer.status == 206 and not resumed:
            _forget(partial)
            raise ConnectionError("the server sent another part of the file than was asked for")
        length = answer.headers.get("Content-Length")
        start = have if resumed else 0
        total = start + int(length) if length is not None else None
        if not resumed:
            tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
            files.write_text(_note(partial), json.dumps({"url": url, "version": tag}) + "\n")
        with partial.open("ab" if resumed else "wb") as file:
            _copy(answer, file, start, total, progress)


def _read_note(partial: Path, url: str) -> str | None:
    """What the server called the version of ``url`` that ``partial`` holds the beginning of; None when not known."""
    try:
        note = json.loads(_note(partial).read_text(encoding="utf-8"))
        return str(note["version"]) if note["url"] == url and note["version"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _copy(source: IO[bytes], file: IO[bytes], done: int, total: int | None, progress: Progress | None) -> None:
    while block := source.read(BLOCK):
        file.write(block)
        done += len(block)
        if progress is not None:
            progress(done, total)
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done} of {counted(total, 'byte')}")
