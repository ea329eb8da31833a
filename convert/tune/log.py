"""The search's memory: a file of JSON lines, appended to as soon as something is known.

The first line says what is searched; a search that was stopped goes on when the same is asked for again, and one with
another budget or another way to count cost uses the points that there are.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from convert.tune.timer import Pair
from edge_seg.errors import EdgeSegError, UsageError
from edge_seg.files import named
from edge_seg.plain import from_plain
from edge_seg.tuning import Point, Setting

SCHEMA = 3


@dataclasses.dataclass(frozen=True)
class Subject:
    """What points and measurements depend on; a search with another subject begins anew, elsewhere.

    ``timed`` are the files that time is measured on; ``images`` are the ids of those that accuracy is.
    """

    weights_sha256: str
    data_sha256: str
    split: str
    seed: int
    images: tuple[int, ...]
    timed: tuple[str, ...]
    schema: int = SCHEMA


class Log:
    """``points`` by setting, and paired measurements by setting, reference and number of threads.

    What failed isn't kept: a full disk, or memory, may be better next time.
    """

    def __init__(self, file: Path, subject: Subject) -> None:
        """Reads the file, or begins it. Raises :class:`UsageError` when it is of another search."""
        self.points: dict[Setting, Point] = {}
        self._pairs: dict[tuple[str, str, int], list[Pair]] = {}
        self._file = file
        lines = file.read_bytes().split(b"\n") if file.is_file() else []
        if not lines or not lines[0].strip():
            file.parent.mkdir(parents=True, exist_ok=True)
            self._append("search", dataclasses.asdict(subject))
            return
        self._check(lines[0], subject)
        # A last line without its end was cut short by a crash.
        for number, line in enumerate(lines[1:-1], 2):
            self._read(line, number)
        if lines[-1]:
            os.truncate(file, file.stat().st_size - len(lines[-1]))

    def _check(self, line: bytes, subject: Subject) -> None:
        try:
            plain = json.loads(line)
            found = plain.pop("kind"), plain
        except (ValueError, AttributeError, KeyError, TypeError):
            found = None, None
        wanted = json.loads(json.dumps(dataclasses.asdict(subject)))
        if found == ("search", wanted):
            return
        differs = [name for name in wanted if not isinstance(found[1], dict) or found[1].get(name) != wanted[name]]
        raise UsageError(
            f"{self._file}: of another search (other {', '.join(differs) or 'contents'})",
            remedy="give another --out, or the same RUN, --data, --images and --seed as before",
            code="tune-differs",
        )

    def _read(self, line: bytes, number: int) -> None:
        where = f"{self._file}, line {number}"
        try:
            plain: Any = json.loads(line)
            kind = plain.pop("kind")
            if kind == "point":
                point = from_plain(Point, plain, where, UsageError)
                self.points[point.setting] = point
            else:
                pair = from_plain(Pair, plain["pair"], where, UsageError)
                self._pairs.setdefault((plain["reference"], plain["point"], plain["threads"]), []).append(pair)
        except (ValueError, AttributeError, KeyError, TypeError, EdgeSegError) as problem:
            raise UsageError(
                f"{where}: damaged: {problem}", remedy="delete the file, or give another --out", code="tune-damaged"
            ) from None

    def _append(self, kind: str, plain: dict[str, Any]) -> None:
        with named(self._file), self._file.open("ab") as file:
            file.write(json.dumps({"kind": kind, **plain}, allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def add_point(self, point: Point) -> None:
        """Keeps a point."""
        self._append("point", dataclasses.asdict(point))
        self.points[point.setting] = point

    def add_pair(self, reference: Setting, setting: Setting, threads: int, pair: Pair) -> None:
        """Keeps a measurement."""
        names = {"reference": reference.key, "point": setting.key, "threads": threads}
        self._append("pair", {**names, "pair": dataclasses.asdict(pair)})
        self._pairs.setdefault((reference.key, setting.key, threads), []).append(pair)

    def pairs(self, reference: Setting, setting: Setting, threads: int) -> list[Pair]:
        """The measurements of one setting against the reference."""
        return self._pairs.get((reference.key, setting.key, threads), [])

    def all_pairs(self, reference: Setting, threads: int) -> list[Pair]:
        """The measurements of all settings against the reference."""
        return [p for (a, _, t), pairs in self._pairs.items() if (a, t) == (reference.key, threads) for p in pairs]
