"""Our bundles beside other models, in turns, in the same harness: what else one could take.

A peer is another model with other accuracy, so its figures stand in no row of ours and make no record.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.compare import PAUSE_S, WARM_UP_ROUNDS, Turn, model_ms, take_turns, turns_of
from bench.report import milliseconds, with_spread
from edge_seg.bundle import open_bundle
from edge_seg.process.python import module_command
from edge_seg.records.statistics import Interval, Summary, paired_ratio, summarise
from edge_seg.runtime.predict import find_files
from edge_seg.targets.drive import Session
from edge_seg.targets.local import Local
from edge_seg.targets.protocol import clean

OURS, OTHER = "ours", "another model"
SILENCE_S = 600.0


@dataclass(frozen=True)
class Standing:
    """A contestant: ``kind`` is ours or another model; times in ms; ``ratio`` to the first bundle, None for itself.

    ``objects`` 0: not known.
    """

    name: str
    kind: str
    what: str
    size: tuple[int, int]
    objects: int
    model_ms: Summary
    ratio: Interval | None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Asked:
    """What is measured: each of ``bundles`` and ``peers`` once a round, on one image."""

    bundles: Sequence[Path]
    peers: Sequence[str]
    images: Sequence[Path] = ()
    instances: int = 20
    threads: int = 1
    rounds: int = 30
    python: str = sys.executable


def compare_peers(asked: Asked, progress: Callable[[str], None]) -> list[Standing]:
    """The bundles, then the peers. Raises EdgeSegError when one of them can't be run, before anything is timed."""
    opened = [open_bundle(path) for path in asked.bundles]
    first = opened[0]
    image = ([file.resolve() for file in find_files(asked.images)] or [first.path / first.manifest.golden.image])[0]
    size = max(first.manifest.preprocess.size)
    told: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        turns = [
            stack.enter_context(turns_of(Local(), bundle, image, asked.instances, asked.threads)) for bundle in opened
        ]
        for peer in asked.peers:
            progress(f"loading {peer}")
            engine, turn = stack.enter_context(_peer(asked, peer, size, first.manifest.proposals, image))
            told.append(engine)
            turns.append(turn)
        times, counts = take_turns(turns, asked.rounds, WARM_UP_ROUNDS, progress)
    names: list[tuple[str, str, str, tuple[int, int]]] = []
    for path, bundle in zip(asked.bundles, opened, strict=True):
        manifest = bundle.manifest
        names.append((path.name, OURS, f"{manifest.model}, {manifest.recipe}", manifest.preprocess.size))
    for peer, engine in zip(asked.peers, told, strict=True):
        height, width = engine["size"]
        what = f"{clean(engine['what'], 200)} ({clean(engine['name'], 40)} {clean(engine['version'], 60)})"
        names.append((Path(peer).name, OTHER, what, (height, width)))
    return [
        Standing(*name, count, summarise(own), None if number == 0 else paired_ratio(times[0], own))
        for number, (name, count, own) in enumerate(zip(names, counts, times, strict=True))
    ]


@contextlib.contextmanager
def _peer(asked: Asked, peer: str, size: int, proposals: int, image: Path) -> Iterator[tuple[dict[str, Any], Turn]]:
    command = module_command("bench.peer_runner", peer)
    command[0] = asked.python
    options = {"size": size, "threads": asked.threads, "instances": asked.instances, "proposals": proposals}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    session = Session(command, words, silence=SILENCE_S)
    try:
        engine: dict[str, Any] = session.until("load")["engine"]

        def turn() -> tuple[float, int]:
            time.sleep(PAUSE_S)
            session.say(str(image))
            sample = session.until("sample")
            return model_ms(sample["ns"]), sample["instances"]

        yield engine, turn
    finally:
        session.close()


def standings_text(standings: Sequence[Standing]) -> str:
    """A few lines for people."""
    lines = []
    for one in standings:
        height, width = one.size
        objects = f", {one.objects} objects" if one.objects else ""
        ratio = one.ratio
        told = "" if ratio is None else f", {ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f}) of the first"
        lines += [
            f"{one.name}: {with_spread(one.model_ms)}{told}",
            f"  {one.kind}: {one.what}, {height}x{width}{objects}; fastest {milliseconds(one.model_ms.minimum)} ms",
        ]
    return "\n".join(lines)
