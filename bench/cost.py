"""``edge-seg bench cost``: Arm instructions of a bundle's stages, counted on an emulated core.

Counted are instructions of a modelled processor, never times of a board: caches and issue width aren't in them. They
repeat to a millionth, on any machine. The native runner reads the clock at the borders of its stages; the plugin of
qemu's (cmake/count/plugin.cc) notes how many instructions have gone by then.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.boards.elf import read_elf
from edge_seg.bundle import open_bundle
from edge_seg.errors import EngineError, MissingDependencyError, UsageError
from edge_seg.plain import from_plain, to_plain
from edge_seg.targets.emulated import BUILDS, BUILDS_VARIABLE
from edge_seg.targets.protocol import STAGES, ProtocolError, clean, parse_line

EMULATOR = "qemu-aarch64"
LIMIT_S = 3600.0
_COUNTED = {"paddle-lite": "arm", "ncnn": "cpu"}
"""The engines that the native runner has, and the target of their bundles for Arm."""


class CostError(UsageError):
    """A file of costs can't be read."""

    code = "costs"
    exit_code = 1


@dataclass(frozen=True)
class Sample:
    """Instructions of one image's stages."""

    image: str
    instances: int
    pre: int
    detect: int
    nms: int
    mask: int
    post: int

    @property
    def total(self) -> int:
        """All stages."""
        return self.pre + self.detect + self.nms + self.mask + self.post

    @property
    def rest(self) -> float:
        """The share of everything but the two graphs."""
        return 1 - (self.detect + self.mask) / self.total


@dataclass(frozen=True)
class Cost:
    """A bundle's instructions for one image with ``instances`` objects, on one thread of an emulated ``cpu``."""

    bundle: str
    model: str
    recipe: str
    size: tuple[int, int]
    proposals: int
    instances: int
    cpu: str
    instructions: dict[str, int]
    schema: int = 1

    @property
    def total(self) -> int:
        """All stages."""
        return sum(self.instructions.values())


def cost_of(path: Path, cpu: str, images: Sequence[Path], instances: int | None) -> Cost:
    """Counts a bundle's instructions for the first of ``images`` (default: its golden image), warmed up by a first run.

    Raises BundleError, UsageError for a bundle that the native runner doesn't run, MissingDependencyError when
    something isn't built or installed, EngineError when the runner fails there.
    """
    bundle = open_bundle(path)
    manifest = bundle.manifest
    if _COUNTED.get(manifest.engine) != manifest.target:
        raise UsageError(
            f"{path}: a bundle of {manifest.recipe} ({manifest.engine}, for {manifest.target}): counted are bundles of"
            " Paddle Lite for Arm and of ncnn, which the native runner runs on an emulated core",
            remedy="convert the same model with arm-fp32, arm-w8, arm-int8 or ncnn-fp32 and count that",
            code="not-counted",
        )
    image = images[0] if images else bundle.path / manifest.golden.image
    wanted = manifest.golden.instances if instances is None else instances
    if reason := reason_to_skip(manifest.engine):
        raise MissingDependencyError(reason, remedy="`make native-count` in a checkout says what is needed")
    options = ["--images", str(image), "--repeat", "1"]
    options += ["--instances", str(wanted)] if wanted is not None else []
    sample = count(bundle.path, cpu, *options)[-1]
    return Cost(
        bundle=bundle.id,
        model=manifest.model,
        recipe=manifest.recipe,
        size=manifest.preprocess.size,
        proposals=manifest.proposals,
        instances=sample.instances,
        cpu=cpu,
        instructions={stage: getattr(sample, stage) for stage in STAGES},
    )


def read_samples(lines: list[dict[str, Any]], events: str) -> list[Sample]:
    """The samples among the runner's ``lines``, with what the plugin wrote: ``PID clock N`` and ``PID write FD N``.

    The runner must have run without warm-up, so that one image's readings of the clock stand before each line.
    """
    noted = [line.split() for line in events.splitlines()]
    clocks = [words[0] for words in noted if words[1] == "clock"]
    worker = max(set(clocks), key=clocks.count)  # the runner works in a child process
    # Where its lines go: not the library's words on stderr, nor the note of a bundle's first start.
    written = [numbers[0] for pid, kind, *numbers in noted if pid == worker and kind == "write" and int(numbers[0]) > 2]
    to = max(set(written), key=written.count, default="")
    groups: list[list[int]] = [[]]
    for pid, kind, *numbers in noted:
        if pid != worker:
            continue
        if kind == "clock":
            groups[-1].append(int(numbers[0]))
        elif numbers[0] == to:
            groups.append([])
    return [_sample(line, group) for line, group in zip(lines, groups, strict=False) if line["type"] == "sample"]


def _sample(line: dict[str, Any], clocks: list[int]) -> Sample:
    steps = [after - before for before, after in itertools.pairwise(clocks)]
    # Whatever borders lie between: the graphs are the two largest steps by far.
    detect, mask = sorted(sorted(range(len(steps)), key=steps.__getitem__)[-2:])
    return Sample(
        image=line["image"],
        instances=line["instances"],
        pre=sum(steps[:detect]),
        detect=steps[detect],
        nms=sum(steps[detect + 1 : mask]),
        mask=steps[mask],
        post=sum(steps[mask + 1 :]),
    )


def count(bundle: Path, cpu: str, *options: str) -> list[Sample]:
    """Runs the runner once on an emulated core; its samples. Raises EngineError when it fails there."""
    build = _builds() / "aarch64"
    if not (build / "boards" / cpu).is_dir():
        known = sorted(board.name for board in (build / "boards").iterdir())
        raise UsageError(f"--cpu {cpu}: unknown processor", remedy=f"choose {', '.join(known)}", code="unknown-target")
    with tempfile.TemporaryDirectory() as scratch:
        events = Path(scratch, "events")
        command = [
            *(EMULATOR, "-plugin", f"{_builds() / 'libedge-seg-count.so'},out={events}"),
            *("-cpu", cpu, "-L", str(build / "boards" / cpu), str(build / "edge-seg-run")),
            *("--bundle", str(bundle), "--warmup", "0", "--threads", "1", "--json", *options),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
            lines = [parse_line(line) for line in done.stdout.splitlines()]
        except subprocess.TimeoutExpired:
            raise EngineError(f"the emulated runner didn't end within {LIMIT_S:g} s", code="runner-hang") from None
        except ProtocolError as problem:
            raise EngineError(f"the emulated runner: {problem}", code="runner-protocol") from None
        if done.returncode != 0 or not events.is_file():
            error = lines[-1] if lines and lines[-1]["type"] == "error" else {}
            raise EngineError(
                f"the emulated runner failed: {clean(error.get('message', done.stderr[-500:]))}",
                remedy=clean(error.get("remedy", "")),
                code=clean(error.get("code", "runner-died"), 80),
            )
        return read_samples(lines, events.read_text())


def _builds() -> Path:
    return Path(os.environ.get(BUILDS_VARIABLE, BUILDS))


def reason_to_skip(engine: str) -> str | None:
    """Why nothing can be counted here for bundles of ``engine``; None when it can."""
    if shutil.which(EMULATOR) is None:
        return f"{EMULATOR} isn't installed (Debian's package qemu-user; the static one takes no plugins)"
    runner = _builds() / "aarch64" / "edge-seg-run"
    if not (_builds() / "libedge-seg-count.so").is_file() or not runner.is_file():
        return "the runner and the plugin aren't built: `make native-count` builds them"
    elf = read_elf(runner)
    if elf is None or elf.identity is None or engine not in elf.identity[1]:
        return f"{runner} was built without {engine} (cmake/README.md)"
    return None


def append_cost(path: Path, cost: Cost) -> None:
    """Appends the cost to a file of them, a JSON line each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(to_plain(cost), sort_keys=True) + "\n")


def read_costs(path: Path) -> list[Cost]:
    """The costs in a file. Raises CostError, naming the line, for one that is none."""
    costs = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise CostError(f"{path}: can't be read: {problem}", remedy="`edge-seg bench cost --out` makes one") from None
    for number, line in enumerate(lines, 1):
        try:
            costs.append(from_plain(Cost, json.loads(line), f"{path}, line {number}", CostError))
        except (ValueError, RecursionError) as problem:
            raise CostError(f"{path}, line {number}: not JSON: {problem}") from None
    return costs
