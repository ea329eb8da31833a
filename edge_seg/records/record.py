"""The record: one measurement as one JSON line, with everything needed to judge and repeat it, and all raw samples.

Records are only ever appended. Statistics, tables and pages are derived from them and can be made again at any time.

Schema 2 has images where schema 1 had "pictures", and more fields, which are left out where they hold nothing. Records
of schema 1 are read as they are, and keep their ids.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from edge_seg.bundle import Bundle
from edge_seg.errors import EdgeSegError, UsageError
from edge_seg.files import open_regular
from edge_seg.limits import RECORD_LINE_BYTES
from edge_seg.plain import LEFT_OUT_IF_NONE, SHORT, from_plain, to_plain
from edge_seg.records.board_state import BoardState
from edge_seg.records.machine import Machine
from edge_seg.records.statistics import Interval, Summary, interval_of_median, summarise
from edge_seg.targets.protocol import MODEL_STAGES, STAGES, TOTAL, ProtocolError, check_times

__all__ = ["MODEL_STAGES", "STAGES", "TOTAL", "Record", "append", "read"]

SCHEMA = 2
SCHEMAS = (1, SCHEMA)
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
    """``status`` is valid, degraded, unknown or emulated; ``reasons`` is empty for valid alone.

    Degraded: something disturbed the measurement. Unknown: the machine doesn't show enough to rule that out.
    """

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
class Image:
    """An image of the scenario."""

    name: str
    sha256: str
    width: int
    height: int


@dataclass(frozen=True)
class Scenario:
    """What was run: each image ``warmup`` times untimed, then ``repeats`` times timed.

    With ``instances`` exactly so many best boxes got a mask; None: what the model found above its score threshold.
    ``mode`` is how the number of runs was chosen (quick, full, sustained, or fixed by the user), ``seconds`` the time
    that was asked for. ``cores`` are the cores that the runner was bound to, ``power_mode`` the library's own choice.
    """

    images: tuple[Image, ...]
    warmup: int
    repeats: int
    threads: int
    instances: int | None
    mode: str | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    seconds: float | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    cores: tuple[int, ...] | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    power_mode: str | None = field(default=None, metadata=LEFT_OUT_IF_NONE)


@dataclass(frozen=True)
class Sample:
    """One timed run of image number ``image`` (index into the scenario's): ns by stage and in ``total``.

    ``cpu_ns`` is the CPU time of all threads within the total, ``start_ns`` when it began by the device's own steady
    clock; None where the runner doesn't tell.
    """

    image: int
    repeat: int
    instances: int
    ns: dict[str, int]
    cpu_ns: int | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    start_ns: int | None = field(default=None, metadata=LEFT_OUT_IF_NONE)

    @property
    def model_ns(self) -> int:
        return sum(self.ns[stage] for stage in MODEL_STAGES)


@dataclass(frozen=True)
class Ending:
    """Why a measurement ended before all its samples were there."""

    code: str
    message: str


@dataclass(frozen=True)
class Record:
    """One bundle on one target under one scenario. ``id`` is derived from everything else, so an edit shows.

    ``runner``, ``load`` and ``first_run`` are the runner's own lines (``hello`` and those names). ``self_test`` and
    ``memory`` are lines of a pass of their own, None where the runner knows none. ``warm`` counts, for each image, the
    samples at the beginning that still belong to the warm-up. ``ended`` is there for a partial record. ``board`` is the
    name that the user gave the target. ``span_s`` is the time from the first sample's line to the last one's, seconds
    by the clock of the machine that read them.
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
    warm: tuple[int, ...] | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    ended: Ending | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    board: str | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    span_s: float | None = field(default=None, metadata=LEFT_OUT_IF_NONE)

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", self.digest())

    def as_plain(self) -> dict[str, Any]:
        """The JSON object of its line."""
        plain: dict[str, Any] = to_plain(self)
        if self.schema == 1:
            plain["scenario"]["pictures"] = plain["scenario"].pop("images")
        return plain

    def digest(self) -> str:
        """What ``id`` must be: the first 12 hexadecimal digits of the sha256 of all other fields."""
        return _digest(self.as_plain())

    def line(self) -> str:
        return json.dumps(self.as_plain(), sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"

    def all_by_image(self) -> list[list[Sample]]:
        """The samples of each image of the scenario, in the order they were taken, warm-up included."""
        groups: list[list[Sample]] = [[] for _ in self.scenario.images]
        for sample in self.samples:
            groups[sample.image].append(sample)
        return groups

    def by_image(self) -> list[list[Sample]]:
        """The samples of each image that count; of a partial record the images that have any."""
        warm = self.warm or (0,) * len(self.scenario.images)
        groups = [group[skip:] for group, skip in zip(self.all_by_image(), warm, strict=True)]
        return [group for group in groups if group]

    def model_ms(self) -> Summary:
        """Model time, ms an image. With several images: each figure the mean over images of the images' own.

        Medians of one image are comparable; a median over images would jump with the number of objects in them.
        """
        return _mean([summarise([sample.model_ns / 1e6 for sample in group]) for group in self.by_image()])

    def model_interval(self) -> Interval:
        """Model time, ms an image, with the interval in which it lies with 95 % confidence."""
        return interval_of_median([[sample.model_ns / 1e6 for sample in group] for group in self.by_image()])

    def tells(self, stage: str) -> bool:
        """Whether each sample has that stage's time; runners may tell more than they must."""
        return all(stage in sample.ns for sample in self.samples)

    def stage_ms(self, stage: str) -> Summary:
        """One stage's time, or the ``total`` from decoded image to instances; ms an image, as :meth:`model_ms`."""
        return _mean([summarise([sample.ns[stage] / 1e6 for sample in group]) for group in self.by_image()])

    def objects(self) -> float:
        """Number of instances an image, on average."""
        return sum(sample.instances for sample in self.samples) / len(self.samples)


def _digest(plain: dict[str, Any]) -> str:
    others = {name: value for name, value in plain.items() if name != "id"}
    text = json.dumps(others, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


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
        if existed and not path.is_file():
            raise UsageError(
                f"{path}: not a plain file; records are to be added to it", remedy="name another file with --out"
            )
        if existed and not _holds_records(path):
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


def _holds_records(path: Path) -> bool:
    """Whether it is empty or one of its lines is a record, be it of another schema, altered or cut short by a crash."""
    with path.open("rb") as file:
        if _BEGINNING.startswith(file.read(len(_BEGINNING) + 1).strip()):
            return True
        file.seek(0)
        return any(_is_record(line) for line in iter(lambda: file.readline(RECORD_LINE_BYTES), b""))


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
            with contextlib.suppress(OSError):  # not every network file system has locks
                fcntl.flock(file, fcntl.LOCK_EX)
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
    records: list[Record] = []
    bad: list[BadLine] = []
    if not path.exists():
        remedy = "make some with `edge-seg bench run BUNDLE --out FILE`"
        raise RecordError(f"{path}: no such file of records", remedy=remedy, code="record-missing")
    try:
        with open_regular(path, RecordError, "file of records") as file:
            for number in itertools.count(1):
                line = file.readline(RECORD_LINE_BYTES)
                if not line:
                    break
                if not line.strip():
                    continue
                try:
                    if len(line) == RECORD_LINE_BYTES:
                        _skip_line(file)
                        raise RecordError(f"a line of more than {RECORD_LINE_BYTES:,} bytes")
                    records.append(parse(line))
                except RecordError as problem:
                    bad.append(BadLine(path, number, problem.message))
    except OSError as problem:
        raise RecordError(f"{path}: can't be read: {problem.strerror}", code="record-unreadable") from None
    return records, bad


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(RECORD_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass


def parse(line: bytes | str) -> Record:
    """The record in a line; :class:`RecordError` says what is wrong with it."""
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise RecordError(f"not JSON: {problem}") from None
    if not isinstance(plain, dict) or plain.get("schema") not in SCHEMAS:
        found = plain.get("schema") if isinstance(plain, dict) else None
        raise RecordError(f"record schema {SHORT.repr(found)}, expected {' or '.join(map(str, SCHEMAS))}")
    try:
        record = from_plain(Record, _renamed(plain), "record", RecordError)
        digest = _digest_of(line, plain)
        if record.id != digest:
            digest = record.digest()  # written anew by another program, which may write 5 for 5.0
    except EdgeSegError as problem:
        raise RecordError(problem.message) from None
    except (ValueError, RecursionError) as problem:  # NaN and infinity, which Python's JSON reader takes
        raise RecordError(f"not JSON: {problem}") from None
    if record.id != digest:
        raise RecordError(f"record {record.id} was altered: its contents have the id {digest}")
    _check(record)
    return record


def _digest_of(line: bytes | str, plain: dict[str, Any]) -> str:
    """The digest from the text itself, which needn't be written anew when it is as :meth:`Record.line` writes it."""
    text = line.encode() if isinstance(line, str) else line
    field = b'"id":' + json.dumps(plain.get("id")).encode() + b","
    if text.startswith(_BEGINNING) and text.count(field) == 1:
        quick = hashlib.sha256(text.rstrip(b"\n").replace(field, b"")).hexdigest()[:12]
        if quick == plain["id"]:
            return quick
    return _digest(plain)


def _renamed(plain: dict[str, Any]) -> dict[str, Any]:
    """A record of schema 1 with the names of schema 2."""
    scenario = plain.get("scenario")
    if plain["schema"] != 1 or not isinstance(scenario, dict) or "pictures" not in scenario:
        return plain
    others = {name: value for name, value in scenario.items() if name != "pictures"}
    return {**plain, "scenario": {**others, "images": scenario["pictures"]}}


def _check(record: Record) -> None:
    """What the statistics rely on and types can't say."""
    images = range(len(record.scenario.images))
    warm = record.warm
    if warm is not None and (len(warm) != len(images) or min(warm, default=0) < 0):
        raise RecordError(f"record {record.id}: its warm-up doesn't fit its images")
    for sample in record.samples:
        if sample.image not in images:
            raise RecordError(f"record {record.id}: samples and images don't match")
        try:
            check_times(sample.ns)
        except ProtocolError as problem:
            raise RecordError(f"record {record.id}: a sample: {problem}") from None
        if sample.instances < 0 or (sample.cpu_ns or 0) < 0:
            raise RecordError(f"record {record.id}: a sample holds a number below 0")
    groups = record.by_image()
    if not groups or (record.ended is None and len(groups) != len(images)):
        raise RecordError(f"record {record.id}: samples and images don't match")
