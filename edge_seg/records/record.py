"""The record: one measurement as one JSON line, with everything needed to judge and repeat it, and all raw samples.

Records are only ever appended. Statistics, tables and pictures are derived from them and can be made again at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_seg.bundle import Bundle
from edge_seg.errors import EdgeSegError, UsageError
from edge_seg.plain import from_plain
from edge_seg.records.board_state import BoardState
from edge_seg.records.machine import Machine
from edge_seg.records.statistics import Summary, summarise

SCHEMA = 1
MODEL_STAGES = ("detect", "nms", "mask")
"""Model time as speed tables publish it: without pre- and post-processing, with NMS."""
STAGES = ("pre", *MODEL_STAGES, "post")
TOTAL = "total"
_BEGINNING = b'{"after":['
"""How each line that :meth:`Record.line` makes begins."""


class RecordError(EdgeSegError):
    """A file of records can't be read or written."""

    code = "record"


@dataclass(frozen=True)
class Reason:
    """Why a measurement is less than valid, and what to do."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True)
class Verdict:
    """``status`` is valid, degraded or emulated; ``reasons`` is empty for valid alone."""

    status: str
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Subject:
    """The bundle that was measured; ``source`` is its manifest's, with the training's mAP where one was measured."""

    id: str
    name: str
    model: str
    recipe: str
    engine: str
    engine_version: str
    target: str
    precision: str
    size: tuple[int, int]
    proposals: int
    keep: int
    score_threshold: float
    classes: int
    random_weights: bool
    model_bytes: int
    source: dict[str, Any]

    @staticmethod
    def of(bundle: Bundle) -> Subject:
        manifest = bundle.manifest
        return Subject(
            id=bundle.id,
            name=manifest.name,
            model=manifest.model,
            recipe=manifest.recipe,
            engine=manifest.engine,
            engine_version=manifest.engine_version,
            target=manifest.target,
            precision=manifest.precision,
            size=manifest.preprocess.size,
            proposals=manifest.proposals,
            keep=manifest.postprocess.keep,
            score_threshold=manifest.postprocess.score_threshold,
            classes=len(manifest.classes),
            random_weights=manifest.random_weights,
            model_bytes=bundle.model_bytes,
            source=manifest.source,
        )


@dataclass(frozen=True)
class Picture:
    """A picture of the scenario."""

    name: str
    sha256: str
    width: int
    height: int


@dataclass(frozen=True)
class Scenario:
    """How it was measured. ``instances`` boxes went into the mask graph whatever their scores; None: those found."""

    pictures: tuple[Picture, ...]
    warmup: int
    repeats: int
    threads: int
    instances: int | None


@dataclass(frozen=True)
class Sample:
    """One timed run of picture ``image`` (index into the scenario's): ns by stage and in ``total``."""

    image: int
    repeat: int
    instances: int
    ns: dict[str, int]

    @property
    def model_ns(self) -> int:
        return sum(self.ns[stage] for stage in MODEL_STAGES)


@dataclass(frozen=True)
class Record:
    """One bundle on one target under one scenario. ``id`` is derived from everything else, so an edit shows.

    ``runner``, ``load`` and ``first_run`` are the runner's own lines (``hello`` and those names). ``self_test`` and
    ``memory`` are lines of a pass of their own, None where the runner knows none.
    """

    time: str
    bundle: Subject
    target: str
    machine: Machine
    runner: dict[str, Any]
    scenario: Scenario
    load: dict[str, Any]
    first_run: dict[str, Any]
    samples: tuple[Sample, ...]
    before: tuple[BoardState, ...]
    during: tuple[BoardState, ...]
    after: tuple[BoardState, ...]
    cpu_seconds: float | None
    self_test: dict[str, Any] | None
    memory: dict[str, Any] | None
    verdict: Verdict
    schema: int = SCHEMA
    id: str = field(default="")

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", self.digest())

    def digest(self) -> str:
        """What ``id`` must be: the first 12 hexadecimal digits of the sha256 of all other fields."""
        plain = dataclasses.asdict(self)
        del plain["id"]
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def line(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"

    def by_picture(self) -> list[list[Sample]]:
        """The samples of each picture of the scenario, in the order they were taken."""
        groups: list[list[Sample]] = [[] for _ in self.scenario.pictures]
        for sample in self.samples:
            groups[sample.image].append(sample)
        return groups

    def model_ms(self) -> Summary:
        """Model time, ms a picture. With several pictures: each figure the mean over pictures of the pictures' own.

        Medians of one picture are comparable; a median over pictures would jump with the number of objects in them.
        """
        return _mean([summarise([sample.model_ns / 1e6 for sample in group]) for group in self.by_picture()])

    def stage_ms(self, stage: str) -> Summary:
        """One stage's time, or the ``total`` from decoded picture to instances; ms a picture, as :meth:`model_ms`."""
        return _mean([summarise([sample.ns[stage] / 1e6 for sample in group]) for group in self.by_picture()])

    def objects(self) -> float:
        """Number of instances a picture, on average."""
        return sum(sample.instances for sample in self.samples) / len(self.samples)


def _mean(summaries: list[Summary]) -> Summary:
    if len(summaries) == 1:
        return summaries[0]

    def mean(name: str) -> float:
        return sum(getattr(summary, name) for summary in summaries) / len(summaries)

    return Summary(
        runs=min(summary.runs for summary in summaries),
        median=mean("median"),
        minimum=mean("minimum"),
        maximum=mean("maximum"),
        iqr=mean("iqr"),
        mad=mean("mad"),
        p90=None,
        p99=None,
    )


def check_writable(path: Path) -> None:
    """Raises :class:`RecordError` when records can't be appended to ``path``: before measuring, not after it.

    Raises UsageError when ``path`` is a file of something else.
    """
    existed = path.exists()
    try:
        if path.is_file() and not _holds_records(path.read_bytes()):
            raise UsageError(
                f"{path}: holds something else than records, and they would spoil it",
                remedy="name with --out a new file, or one that `edge-seg bench run` made",
                code="not-records",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
        if not existed:
            path.unlink()
    except OSError as problem:
        raise RecordError(
            f"{path}: can't be written: {problem.strerror}",
            remedy="name another file with --out",
            code="record-unwritable",
        ) from None


def _holds_records(content: bytes) -> bool:
    """Whether it is empty or one of its lines is a record, be it of another schema, altered or cut short by a crash."""
    return _BEGINNING.startswith(content.strip()) or any(map(_is_record, content.split(b"\n")))


def _is_record(line: bytes) -> bool:
    if line.startswith(_BEGINNING):
        return True
    try:
        parse(line)  # written anew by another program: the same in other words
    except RecordError:
        return False
    return True


def append(path: Path, record: Record) -> None:
    """Appends the record in one write: a line is whole or not there, also when several programs append."""
    line = record.line().encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size > 0:
                file.seek(size - 1)
                if file.read(1) != b"\n":  # a line cut short by a crash must not swallow this one
                    line = b"\n" + line
            written = file.write(line)
            if written != len(line):
                with contextlib.suppress(OSError):
                    file.truncate(size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
    except OSError as problem:
        raise RecordError(
            f"{path}: record {record.id} can't be written: {problem.strerror}",
            remedy="free some space or name another file with --out",
            code="record-unwritable",
        ) from None


@dataclass(frozen=True)
class BadLine:
    """A line of a file of records that can't be used, and why."""

    path: Path
    number: int
    problem: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.number}: {self.problem}"


def read(path: Path) -> tuple[list[Record], list[BadLine]]:
    """The file's records, and its lines that aren't any: one bad line doesn't cost the others."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        remedy = "make some with `edge-seg bench run BUNDLE --out FILE`"
        raise RecordError(f"{path}: no such file of records", remedy=remedy, code="record-missing") from None
    except OSError as problem:
        raise RecordError(f"{path}: can't be read: {problem.strerror}", code="record-unreadable") from None
    records, bad = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            records.append(parse(line))
        except RecordError as problem:
            bad.append(BadLine(path, number, problem.message))
    return records, bad


def parse(line: bytes) -> Record:
    """The record in a line; :class:`RecordError` says what is wrong with it."""
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise RecordError(f"not JSON: {problem}") from None
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        found = plain.get("schema") if isinstance(plain, dict) else None
        raise RecordError(f"record schema {found!r}, expected {SCHEMA}")
    try:
        record = from_plain(Record, plain, "record", RecordError)
        digest = record.digest()
    except EdgeSegError as problem:
        raise RecordError(problem.message) from None
    except ValueError as problem:  # NaN and infinity, which Python's JSON reader takes
        raise RecordError(f"not JSON: {problem}") from None
    if record.id != digest:
        raise RecordError(f"record {record.id} was altered: its contents have the id {digest}")
    _check(record)
    return record


def _check(record: Record) -> None:
    """What the statistics rely on and types can't say."""
    counts = [len(group) for group in record.by_picture()] if _images_known(record) else []
    if not counts or min(counts) == 0:
        raise RecordError(f"record {record.id}: samples and pictures don't match")
    for sample in record.samples:
        if missing := [name for name in (*STAGES, TOTAL) if name not in sample.ns]:
            raise RecordError(f"record {record.id}: a sample has no time for {', '.join(missing)}")


def _images_known(record: Record) -> bool:
    return all(0 <= sample.image < len(record.scenario.pictures) for sample in record.samples)
