"""Runs bundles on a target under scenarios; each measurement becomes a record as soon as it is done."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.scenario import Settings, choose_cores, choose_strata, plan_runs, warm_runs
from bench.verdict import Evidence, judge
from edge_seg.bundle import Bundle, open_bundle
from edge_seg.errors import EdgeSegError, EngineError, UsageError
from edge_seg.files import sha256
from edge_seg.records.board_state import BoardState, Sampler, snapshots
from edge_seg.records.machine import Machine, allowed, describe
from edge_seg.records.record import STAGES, TOTAL, Ending, Image, Record, Sample, Scenario, Subject, Verdict
from edge_seg.runtime.predict import find_files
from edge_seg.targets import Target
from edge_seg.targets.drive import Asked, Outcome, drive
from edge_seg.targets.placing import place_bundle
from edge_seg.targets.protocol import Message
from edge_seg.words import counted

__all__ = ["Failure", "Settings", "measure"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Failure:
    """A measurement that couldn't be made. ``partial`` is the record of what was measured before it failed."""

    bundle: Path
    what: str
    error: EdgeSegError
    partial: Record | None = None
    label: str = ""


class Keeper(Protocol):
    """What is told of a measurement while it runs, so that a kill loses no sample."""

    finished: dict[str, str]

    def begin(self, label: str, record: dict[str, Any]) -> None: ...

    def sample(self, label: str, sample: Sample) -> None: ...


class Forgetful:
    """Keeps nothing."""

    def __init__(self) -> None:
        self.finished: dict[str, str] = {}

    def begin(self, label: str, record: dict[str, Any]) -> None:
        """Nothing is kept."""

    def sample(self, label: str, sample: Sample) -> None:
        """Nothing is kept."""


@dataclass(frozen=True)
class Measured:
    """A record, and the label under which its samples were kept."""

    record: Record
    label: str


def measure(
    target: Target,
    bundles: Sequence[Path],
    settings: Settings,
    progress: Progress = lambda text: None,
) -> Iterator[Record | Failure]:
    """Measures every bundle under every scenario, one after the other; one that fails doesn't cost the others.

    Raises :class:`EdgeSegError` before any measurement for images that can't be used and boards that can't be reached.
    """
    for result in measure_kept(target, bundles, settings, progress, Forgetful()):
        yield result.record if isinstance(result, Measured) else result


def measure_kept(
    target: Target,
    bundles: Sequence[Path],
    settings: Settings,
    progress: Progress,
    keeper: Keeper,
    board: str | None = None,
) -> Iterator[Measured | Failure]:
    """Like :func:`measure`, with each sample handed to ``keeper``; what it has finished is passed over."""
    images = list(dict.fromkeys(file.resolve() for file in find_files(settings.images)))
    described = [describe_image(image) for image in images]
    machine = describe(target)
    cores = choose_cores(settings.cores, machine) if settings.cores else None
    if settings.strata and settings.instances:
        raise UsageError("--strata: the number of objects is fixed by --instances", remedy="give one of them")
    for path in bundles:
        try:
            bundle = open_bundle(path)
            golden = bundle.path / bundle.manifest.golden.image
            files, shown = images or [golden], described or [describe_image(golden)]
            if settings.strata:
                files, shown = _in_strata(target, bundle, files, shown, settings)
        except EdgeSegError as error:
            yield Failure(path, str(path), error)
            continue
        counts: Sequence[int | None] = settings.instances or (bundle.manifest.golden.instances,)
        threads_tried = settings.threads or (len(cores) if cores else _cores(machine),)
        for threads, count in itertools.product(threads_tried, counts):
            scenario = Scenario(
                tuple(shown),
                settings.warmup or 0,
                settings.repeats or 0,
                threads,
                count,
                mode=None if settings.fixed else settings.mode,
                seconds=settings.seconds,
                cores=cores,
                power_mode=settings.power_mode,
            )
            what = f"{path.name}, {threads} thread{'s' * (threads != 1)}{'' if count is None else f', {count} objects'}"
            label = _label(board or target.name, bundle, scenario)
            if label in keeper.finished:
                progress(f"{what}: measured by the interrupted command (record {keeper.finished[label]})")
                continue
            taking = _Taking(target, machine, bundle, scenario, keeper, label, board)
            try:
                yield Measured(taking.measure(files, settings, _prefixed(progress, what)), label)
            except EdgeSegError as error:
                yield Failure(path, what, error, taking.partial(error), label)
            except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as problem:
                # Nothing that a device says may cost the others; that this passed all checks is ours to mend.
                bug = EngineError(
                    f"what {target.name} says can't be understood ({type(problem).__name__}: {problem})",
                    remedy="this is a bug in edge-seg: please report it",
                    code="bug",
                )
                yield Failure(path, what, bug, None, label)


def _label(where: str, bundle: Bundle, scenario: Scenario) -> str:
    """The same for the same measurement, whenever it is asked for."""
    parts = [where, bundle.id, dataclasses.asdict(scenario)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass
class _Taking:
    """One measurement: a short pass for proof and memory, then the timed pass, and the machine's state around it."""

    target: Target
    machine: Machine
    bundle: Bundle
    scenario: Scenario
    keeper: Keeper
    label: str
    board: str | None = None
    samples: list[Sample] = field(default_factory=list)
    single: dict[str, Message] = field(default_factory=dict)
    short: Outcome = field(default_factory=Outcome)
    before: list[BoardState] = field(default_factory=list)
    samplers: list[Sampler] = field(default_factory=list)
    warm: int = 0
    arrived: list[float] = field(default_factory=list)
    """When the first and the last sample came, by this machine's clock."""

    def measure(self, images: Sequence[Path], settings: Settings, progress: Progress) -> Record:
        """The record. Raises :class:`EdgeSegError`; then :meth:`partial` has what was measured."""
        progress("copying")
        there = _place(self.target, self.bundle, settings)
        files = [self.target.push(image) for image in images]
        progress("self-test")
        self._short_pass(there, files, settings)
        run_s = min((sample["ns"][TOTAL] for sample in self.short.samples), default=10**9) / 1e9
        runs = plan_runs(settings, run_s)
        self.warm = runs.warm
        self.scenario = dataclasses.replace(self.scenario, warmup=runs.warmup, repeats=runs.repeats)
        progress("looking at the machine")
        self.before = snapshots(self.target, 2)
        outcome = self._timed_pass(there, files, settings, progress)
        after = snapshots(self.target, 1)
        return self._record(after, outcome.cpu_seconds, None)

    def partial(self, error: EdgeSegError) -> Record | None:
        """The record of what was measured before ``error``; None when that is nothing."""
        if not self.samples:
            return None
        return self._record([], None, Ending(error.code, error.message[:2000]))

    def _short_pass(self, bundle: str, images: Sequence[str], settings: Settings) -> None:
        """Each image once or twice, for what must not stand between timed runs: the self-test and the memory's peak.

        Raises :class:`EngineError` when the self-test fails: the speed of wrong results is of no use.
        """
        # The second run is nearer to what the timed ones will take, which decides how many there are.
        once = dataclasses.replace(self.scenario, warmup=0, repeats=1 if settings.fixed else 2)
        asked = Asked(images, once.repeats, once.instances, settings.longest)
        options = ["--self-test", *_options(bundle, images, once)]
        self.short = drive(self.target, options, silence=settings.silence, asked=asked)
        tested = self.short.single.get("self_test")
        if tested is not None and tested["passed"] is not True:
            raise EngineError(
                "the self-test failed there: its results aren't those that the bundle was made with",
                remedy="copy the bundle again; if it fails again, this device or its library doesn't compute it right",
                code="self-test-failed",
            )

    def _timed_pass(self, bundle: str, images: Sequence[str], settings: Settings, progress: Progress) -> Outcome:
        wanted = len(images) * self.scenario.repeats
        number = {name: index for index, name in enumerate(images)}
        longest = settings.longest if settings.mode != "sustained" else max(settings.longest, 3 * self._seconds())
        asked = Asked(images, self.scenario.repeats, self.scenario.instances, longest)
        with contextlib.ExitStack() as stack:

            def watch(message: Message) -> None:
                kind = message["type"]
                if kind == "sample":
                    self._keep(_sample(message, number))
                    progress(f"{len(self.samples)} of {counted(wanted, 'sample')}")
                    return
                self.single[kind] = message
                if kind == "load":
                    progress("first run")
                elif kind == "first_run":
                    # From here on the machine should be steady: loading and the first run change its state by nature.
                    self.samplers.append(stack.enter_context(Sampler(self.target)))
                    progress("warming up")

            progress("loading")
            options = _options(bundle, images, self.scenario)
            return drive(self.target, options, silence=settings.silence, on_message=watch, asked=asked)

    def _seconds(self) -> float:
        return (self.scenario.seconds or 300.0) * len(self.scenario.images)

    def _keep(self, sample: Sample) -> None:
        if not self.samples:
            self.samples.append(sample)
            self.keeper.begin(self.label, {**self._record([], None, None).as_plain(), "samples": []})
        else:
            self.samples.append(sample)
        self.arrived = [*self.arrived[:1], time.monotonic()]
        self.keeper.sample(self.label, sample)

    def _record(self, after: Sequence[BoardState], cpu_seconds: float | None, ended: Ending | None) -> Record:
        record = Record(
            time=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            bundle=Subject.of(self.bundle),
            target=self.target.name,
            machine=self.machine,
            runner=self.single.get("hello", {}),
            scenario=self.scenario,
            load=self.single.get("load", {}),
            first_run=_without_folder(self.single.get("first_run", {})),
            samples=tuple(self.samples),
            before=tuple(self.before),
            during=tuple(state for sampler in self.samplers for state in sampler.states),
            after=tuple(after),
            cpu_seconds=cpu_seconds,
            self_test=self.short.single.get("self_test"),
            memory=self.short.single.get("memory"),
            verdict=Verdict("emulated" if self.target.emulated else "valid"),
            ended=ended,
            board=self.board,
            span_s=round(self.arrived[-1] - self.arrived[0], 3) if self.arrived else None,
        )
        if self.warm and ended is None:
            warm = tuple(warm_runs(group, self.warm) for group in record.all_by_image())
            record = dataclasses.replace(record, warm=warm, id="")
        return dataclasses.replace(record, verdict=judge(Evidence.of(record)), id="")


def _place(target: Target, bundle: Bundle, settings: Settings) -> str:
    return place_bundle(target, bundle.path, bundle.id, bundle.files, keep=settings.keep_on_board)


def _in_strata(
    target: Target, bundle: Bundle, files: Sequence[Path], shown: Sequence[Image], settings: Settings
) -> tuple[list[Path], list[Image]]:
    """Of the images those with few, some and many objects, as the bundle itself counts them there."""
    there = _place(target, bundle, settings)
    names = {target.push(file): number for number, file in enumerate(files)}
    once = Scenario(tuple(shown), 0, 1, (settings.threads or (0,))[0], None)
    options = _options(there, list(names), once)
    outcome = drive(target, options, silence=settings.silence, asked=Asked(list(names), 1, None, settings.longest))
    objects = {sample["image"]: sample["instances"] for sample in outcome.samples}
    chosen = [names[name] for name in choose_strata(objects, settings.strata or 1)]
    return [files[number] for number in chosen], [shown[number] for number in chosen]


def _without_folder(first_run: dict[str, Any]) -> dict[str, Any]:
    """The runner's line with the image's name alone: records go to others, and folders are this machine's."""
    return {**first_run, "image": Path(first_run["image"]).name} if "image" in first_run else first_run


def _options(bundle: str, images: Sequence[str], scenario: Scenario) -> list[str]:
    options = ["--bundle", bundle, "--images", *images]
    options += ["--warmup", str(scenario.warmup), "--repeat", str(scenario.repeats), "--threads", str(scenario.threads)]
    if scenario.instances is not None:
        options += ["--instances", str(scenario.instances)]
    if scenario.cores is not None:
        options += ["--cores", ",".join(map(str, scenario.cores))]
    if scenario.power_mode is not None:
        options += ["--power-mode", scenario.power_mode]
    return [*options, "--json"]


def _sample(message: Message, number: dict[str, int]) -> Sample:
    """A sample's line, which the protocol's check has let pass."""
    ns = {name: message["ns"][name] for name in (*STAGES, TOTAL)}
    return Sample(
        image=number[message["image"]],
        repeat=message["repeat"],
        instances=message["instances"],
        ns={**ns, **message["ns"]},
        cpu_ns=message.get("cpu_ns"),
        start_ns=message.get("start_ns"),
    )


def describe_image(path: Path) -> Image:
    """Name, hash and size of an image. Raises ImageError for a file that is none."""
    from edge_seg.runtime.image import read_image

    height, width = read_image(path).shape[:2]
    return Image(path.name, sha256(path), width, height)


def _cores(machine: Machine) -> int:
    """Cores that a program may use there."""
    return len(allowed(machine)) or os.cpu_count() or 1


def _prefixed(progress: Progress, what: str) -> Progress:
    return lambda text: progress(f"{what}: {text}")
