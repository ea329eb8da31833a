"""Samples on disk as they come, so that nothing measured is lost, and an interrupted command can be given again.

Beside a file of records stands ``RECORDS.partial-KEY`` while a command measures, where KEY stands for the command. Its
lines are: ``begin`` (a measurement's record, without samples), ``sample``, ``written`` (the measurement's record is
about to be appended to the file of records). A command that ends well removes it. One that was killed leaves it; the
next command that writes to the same records makes partial records of what it holds, and the same command passes over
what was finished.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_seg.errors import EdgeSegError
from edge_seg.files import named
from edge_seg.plain import from_plain, to_plain
from edge_seg.records.record import Ending, Reason, Record, RecordError, Sample, Verdict, append

_ID = re.compile(rb'"id":"([0-9a-f]{12})"')
KILLED = Ending("killed", "the measuring command was killed")


class Journal:
    """One command's journal. Use as a context manager; leaving it without an error removes it unless kept."""

    def __init__(self, out: Path, command: object) -> None:
        digest = hashlib.sha256(json.dumps(command, sort_keys=True).encode()).hexdigest()[:12]
        self._path = out.with_name(f"{out.name}.partial-{digest}")
        self._out = out
        self._file: int | None = None
        self.finished: dict[str, str] = {}
        """Labels of measurements that an interrupted command of the same kind finished, and their records' ids."""
        self.keep = False
        """Set where something is left to do, so that the same command goes on with it."""

    def __enter__(self) -> Journal:
        with named(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            if not _lock(file):  # the same command runs already, side by side with this one
                os.close(file)
                self._path = self._path.with_name(f"{self._path.name}-{os.getpid()}")
                file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
                _lock(file)
        self._file = file
        with contextlib.suppress(OSError):
            ids = _ids(self._out)
            content = _read(self._path.read_bytes())
            self.finished = {label: id_ for label, id_ in content.finished.items() if id_ in ids}
        return self

    def restart(self) -> None:
        """Forgets what was finished."""
        self.finished = {}

    def begin(self, label: str, record: dict[str, Any]) -> None:
        """A measurement has its first sample; ``record`` is all that is known of it but the samples."""
        self._write({"begin": label, "record": record})

    def sample(self, label: str, sample: Sample) -> None:
        """A sample has come."""
        self._write({"sample": label, "of": to_plain(sample)})

    def append(self, label: str, record: Record) -> None:
        """Appends the measurement's record to the file of records. Raises RecordError when that can't be written."""
        self._write({"written": label, "id": record.id, "whole": record.ended is None})
        append(self._out, record)

    def _write(self, line: dict[str, Any]) -> None:
        assert self._file is not None
        with named(self._path):
            os.write(self._file, (json.dumps(line, allow_nan=False) + "\n").encode())

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._file is not None
        if kind is None and not self.keep:
            with contextlib.suppress(OSError):
                self._path.unlink()
        os.close(self._file)
        self._file = None


class _Content:
    def __init__(self) -> None:
        self.begun: dict[str, dict[str, Any]] = {}
        self.samples: dict[str, list[Any]] = {}
        self.written: dict[str, str] = {}
        """Of each label begun, the id of the record that was made of it, whole or partial."""
        self.finished: dict[str, str] = {}


def _read(content: bytes) -> _Content:
    """What a journal holds; its last line may be cut short."""
    found = _Content()
    for line in content.split(b"\n"):
        try:
            plain = json.loads(line)
            if "begin" in plain:
                label = plain["begin"]
                found.begun[label], found.samples[label] = plain["record"], []
                found.written.pop(label, None)
            elif "sample" in plain:
                found.samples[plain["sample"]].append(plain["of"])
            elif "written" in plain:
                found.written[plain["written"]] = plain["id"]
                if plain["whole"]:
                    found.finished[plain["written"]] = plain["id"]
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _ids(out: Path) -> set[str]:
    """The ids of the records in a file: a command may be killed between noting that it writes one and doing so."""
    try:
        return {match.decode() for match in _ID.findall(out.read_bytes())}
    except OSError:
        return set()


def unfinished(out: Path) -> list[Record]:
    """Partial records of what killed commands left beside ``out``, without those that stand in it already."""
    ids = _ids(out)
    return [record for path in _left(out) for record in _partial(path, ids)]


def recover(out: Path) -> list[Record]:
    """Appends the partial records of killed commands to ``out``, and returns them."""
    ids = _ids(out)
    recovered = []
    for path in _left(out):
        for record in _partial(path, ids):
            append(out, record)
            recovered.append(record)
        with contextlib.suppress(OSError):
            if not _read(path.read_bytes()).finished:  # the same command would have nothing to pass over
                path.unlink()
    return recovered


def _partial(path: Path, ids: set[str]) -> Iterator[Record]:
    try:
        found = _read(path.read_bytes())
    except OSError:
        return
    for label, plain in found.begun.items():
        if not found.samples[label] or found.written.get(label) in ids:
            continue
        with contextlib.suppress(EdgeSegError, ValueError, TypeError, KeyError):
            record = from_plain(Record, {**plain, "samples": found.samples[label]}, "record", RecordError)
            reason = Reason("partial", f"it ended early: {KILLED.message}", "give the same command again")
            verdict = Verdict("emulated" if record.target.startswith("emulated:") else "degraded", (reason,))
            record = dataclasses.replace(record, ended=KILLED, verdict=verdict, warm=None, id="")
            if record.id not in ids:
                yield record


def _left(out: Path) -> list[Path]:
    """Journals beside ``out`` that no living command holds."""
    left = []
    begin = f"{out.name}.partial-"
    folder = out.parent
    names = sorted(entry.name for entry in os.scandir(folder)) if folder.is_dir() else []
    for path in (folder / name for name in names if name.startswith(begin)):
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_RDONLY)
            try:
                if _lock(file):
                    left.append(path)
            finally:
                os.close(file)
    return left


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
