"""The device's rung: a runner, here or on a board, is handed the bundle and the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_seg.errors import EngineError
from edge_seg.runtime.result import Instances
from edge_seg.targets import Target
from edge_seg.targets.drive import drive

SILENCE_S = 1800.0


def run_device(
    target: Target, bundle: Path, pictures: Sequence[Path], instances: int | None
) -> tuple[list[Instances], bool | None]:
    """The instances of each picture, and whether the same pictures again gave the same (None: not told).

    Raises :class:`EngineError` when the runner can't be started, reports an error, dies or says something else, and
    :class:`TargetError` when the board can't be reached.
    """
    options = ["--bundle", target.push(bundle), "--warmup", "0", "--repeat", "1", "--json"]
    options += ["--instances", str(instances)] if instances is not None else []
    # Each picture twice: a runner reports one result a picture, whatever --repeat is.
    there = [target.push(picture) for picture in pictures]
    outcome = drive(target, [*options, "--images", *there, *there], silence=SILENCE_S)
    results = [_instances(line) for line in outcome.results]
    if len(results) not in (len(pictures), 2 * len(pictures)):
        raise EngineError(
            f"{target.name}: the runner gave {len(results)} results for {2 * len(pictures)} pictures",
            remedy="use a runner of the same version as this edge-seg",
            code="runner-protocol",
        )
    first, second = results[: len(pictures)], results[len(pictures) :]
    return first, [r.as_json() for r in first] == [r.as_json() for r in second] if second else None


def _instances(line: dict[str, Any]) -> Instances:
    try:
        return Instances.from_json(line["instances"], line["height"], line["width"])
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise EngineError(f"the runner's result can't be read: {problem!r}", code="runner-protocol") from None
