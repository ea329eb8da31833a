"""Runs bundles on a target under scenarios; each measurement becomes a record as soon as it is done."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.verdict import Evidence, judge
from edge_seg.bundle import Bundle, open_bundle
from edge_seg.errors import EdgeSegError, EngineError
from edge_seg.files import sha256
from edge_seg.plain import from_plain
from edge_seg.records.board_state import BoardState, Sampler, snapshots
from edge_seg.records.machine import Machine, describe
from edge_seg.records.record import STAGES, TOTAL, Picture, Record, RecordError, Sample, Scenario, Subject
from edge_seg.runtime.predict import find_files
from edge_seg.targets import Target
from edge_seg.targets.drive import Message, Outcome, drive
from edge_seg.words import counted

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """How to measure, whatever the bundle. Every pair of ``threads`` and ``instances`` is one scenario.

    ``images`` empty: the bundle's golden picture. ``threads`` empty: as many as the target has cores. ``instances``
    empty: what the golden result was made with (an untrained model finds nothing by itself). ``silence``: seconds
    without a word after which a runner counts as hung.
    """

    images: tuple[Path, ...] = ()
    warmup: int = 5
    repeats: int = 30
    threads: tuple[int, ...] = ()
    instances: tuple[int, ...] = ()
    silence: float = 600.0


@dataclass(frozen=True)
class Failure:
    """A measurement that couldn't be made."""

    bundle: Path
    what: str
    error: EdgeSegError


def measure_all(
    target: Target, bundles: Sequence[Path], settings: Settings, progress: Progress
) -> Iterator[Record | Failure]:
    """Measures every bundle under every scenario, one after the other; one that fails doesn't cost the others.

    Raises :class:`EdgeSegError` before any measurement for pictures that can't be used.
    """
    images = [file.resolve() for file in find_files(settings.images)]
    described = [_describe_picture(image) for image in images]
    machine = describe(target)
    for path in bundles:
        try:
            bundle = open_bundle(path)
            golden = bundle.path / bundle.manifest.golden.image
            shown = described or [_describe_picture(golden)]
        except EdgeSegError as error:
            yield Failure(path, str(path), error)
            continue
        instances: Sequence[int | None] = settings.instances or (bundle.manifest.golden.instances,)
        for threads, count in itertools.product(settings.threads or (_cores(machine),), instances):
            scenario = Scenario(tuple(shown), settings.warmup, settings.repeats, threads, count)
            parts = [path.name, counted(threads, "thread")]
            if count is not None:
                parts.append(counted(count, "detection"))
            what = ", ".join(parts)
            note = _prefixed(progress, what)
            try:
                yield measure(target, machine, bundle, images or [golden], scenario, settings.silence, note)
            except EdgeSegError as error:
                yield Failure(path, what, error)


def measure(
    target: Target,
    machine: Machine,
    bundle: Bundle,
    pictures: Sequence[Path],
    scenario: Scenario,
    silence: float,
    progress: Progress,
) -> Record:
    """One measurement: a short pass for proof and memory, then the timed pass, and the machine's state around it."""
    there = target.push(bundle.path)
    images = [target.push(picture) for picture in pictures]
    progress("self-test")
    short = _short_pass(target, there, images, scenario, silence)
    progress("looking at the machine")
    before = snapshots(target, 2)
    outcome, during = _timed_pass(target, _options(there, images, scenario), len(images), scenario, silence, progress)
    after = snapshots(target, 1)
    samples = _samples(outcome, images, scenario)
    model_ns = [[s.model_ns for s in samples if s.image == index] for index in range(len(images))]
    return Record(
        time=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        bundle=Subject.of(bundle),
        target=target.name,
        machine=machine,
        runner=outcome.single.get("hello", {}),
        scenario=scenario,
        load=outcome.single.get("load", {}),
        first_run=_without_folder(outcome.single.get("first_run", {})),
        samples=samples,
        before=tuple(before),
        during=tuple(during),
        after=tuple(after),
        cpu_seconds=outcome.cpu_seconds,
        self_test=short.single.get("self_test"),
        memory=short.single.get("memory"),
        verdict=judge(Evidence(model_ns, before, during, after, outcome.cpu_seconds, target.emulated)),
    )


def _without_folder(first_run: dict[str, Any]) -> dict[str, Any]:
    """The runner's line with the picture's name alone: records go to others, and folders are this machine's."""
    return {**first_run, "image": Path(first_run["image"]).name} if "image" in first_run else first_run


def _timed_pass(
    target: Target, options: Sequence[str], pictures: int, scenario: Scenario, silence: float, progress: Progress
) -> tuple[Outcome, list[BoardState]]:
    wanted = pictures * scenario.repeats
    done = 0
    with contextlib.ExitStack() as stack:
        samplers: list[Sampler] = []

        def watch(message: Message) -> None:
            nonlocal done
            if message["type"] == "load":
                progress("first run")
            elif message["type"] == "first_run":
                # From here on the machine should be steady: loading and the first run change its state by nature.
                samplers.append(stack.enter_context(Sampler(target)))
                progress("warming up")
            elif message["type"] == "sample":
                done += 1
                progress(f"{done} of {wanted} samples")

        progress("loading")
        outcome = drive(target, options, silence=silence, on_message=watch)
    return outcome, [state for sampler in samplers for state in sampler.states]


def _short_pass(target: Target, bundle: str, images: Sequence[str], scenario: Scenario, silence: float) -> Outcome:
    """Each picture once, for what must not stand between timed runs: the self-test and the memory's peak.

    Raises :class:`EngineError` when the self-test fails: the speed of wrong results is of no use.
    """
    once = dataclasses.replace(scenario, warmup=0, repeats=1)
    return drive(target, ["--self-test", *_options(bundle, images, once)], silence=silence)


def _options(bundle: str, images: Sequence[str], scenario: Scenario) -> list[str]:
    options = ["--bundle", bundle, "--images", *images]
    options += ["--warmup", str(scenario.warmup), "--repeat", str(scenario.repeats), "--threads", str(scenario.threads)]
    if scenario.instances is not None:
        options += ["--instances", str(scenario.instances)]
    return [*options, "--json"]


def _samples(outcome: Outcome, images: Sequence[str], scenario: Scenario) -> tuple[Sample, ...]:
    """The runner's samples, checked: all that were asked for, each with every stage's time."""
    index = {name: number for number, name in enumerate(images)}
    samples = []
    for message in outcome.samples:
        plain = {name: message.get(name) for name in ("repeat", "instances", "ns")}
        try:
            sample = from_plain(Sample, {"image": index[message["image"]], **plain}, "sample", RecordError)
        except (KeyError, EdgeSegError) as problem:
            raise _protocol(f"a sample of another form ({problem}): {message}") from None
        if missing := [name for name in (*STAGES, TOTAL) if name not in sample.ns]:
            raise _protocol(f"a sample without {', '.join(missing)}: {message}")
        samples.append(sample)
    if len(samples) != len(images) * scenario.repeats:
        raise _protocol(f"{len(samples)} samples instead of {len(images)} pictures x {scenario.repeats} repeats")
    return tuple(samples)


def _protocol(message: str) -> EngineError:
    return EngineError(
        f"the runner: {message}", remedy="use a runner of the same version as this edge-seg", code="runner-protocol"
    )


def _describe_picture(path: Path) -> Picture:
    from edge_seg.runtime.image import read_image

    height, width = read_image(path).shape[:2]
    return Picture(path.name, sha256(path), width, height)


def _cores(machine: Machine) -> int:
    """Cores that a program may use there: the list "0-3,6" has five."""
    if machine.allowed_cores:
        with contextlib.suppress(ValueError):
            ends = [[int(end) for end in span.split("-")] for span in machine.allowed_cores.split(",")]
            return sum(span[-1] - span[0] + 1 for span in ends)
    return machine.cores or os.cpu_count() or 1


def _prefixed(progress: Progress, what: str) -> Progress:
    return lambda text: progress(f"{what}: {text}")
