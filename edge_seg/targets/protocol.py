"""The lines that a runner writes, checked one by one: what a device says is input from outside.

A line is one JSON object with a ``type``; :mod:`edge_seg.runtime.runner` lists the types and their fields. Nothing
passes here that the statistics, the records or a terminal could stumble over: times are whole nanoseconds of 0 or more
and fit in 64 bits, a sample's stages don't exceed its total, numbers are finite, lines come in their order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from edge_seg.words import counted

Message = dict[str, Any]

MODEL_STAGES = ("detect", "nms", "mask")
"""Model time as speed tables publish it: without pre- and post-processing, with NMS."""
STAGES = ("pre", *MODEL_STAGES, "post")
TOTAL = "total"
INNER_STAGES = ("trunk", "proposals", "roi_align", "box_head", "mask_head")
"""What a runner may tell besides: the parts of `detect` and `mask` where RoIAlign (`roi_align`) is the runtime's;
`proposals` where they aren't in the trunk."""

ONCE = ("hello", "load", "self_test", "first_run", "memory", "done")
REPEATED = ("sample", "result")
LARGEST = 2**63 - 1
DEEPEST = 12
"""How deep a line's values may be nested."""
LONGEST_ONCE = 1 << 18
"""Bytes of a line that goes into a record whole."""
LONGEST_SAMPLE = 1 << 16
"""Bytes of a sample's line; most of it is the image's name."""
SAMPLE_FIELDS = ("type", "image", "repeat", "instances", "ns", "cpu_ns", "start_ns")
MOST_STAGES = 32
LONGEST_STAGE = 40
MOST_INSTANCES = 10_000
MOST_CORES = 4096
CLOCK_STEP_NS = 1_000_000
"""By how much a sample may begin before the last one ended: start and total may be of two clocks."""
CLOCK_FACTOR, CLOCK_S = 10.0, 60.0
"""By how much more time than has passed here the samples may claim. Clocks differ a little, broken ones by years."""


class ProtocolError(ValueError):
    """A line that the protocol doesn't allow; the message says why, for people."""


def parse_line(line: str) -> Message:
    """The line's object, with a known type. Raises :class:`ProtocolError`."""
    try:
        message = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ProtocolError("it isn't JSON") from None
    if not isinstance(message, dict):
        raise ProtocolError("it isn't an object")
    if message.get("type") not in (*ONCE, *REPEATED, "error"):
        raise ProtocolError("its type is unknown")
    _check_values(message, DEEPEST)
    longest = LONGEST_ONCE if message["type"] in ONCE else LONGEST_SAMPLE if message["type"] == "sample" else len(line)
    if len(line) > longest:
        raise ProtocolError(f"it has more than {longest >> 10} KiB")
    return message


def clean(text: object, most: int = 500) -> str:
    """A device's words for a terminal: one line without control characters, cut short."""
    words = str(text)[: 2 * most]
    plain = "".join(c if c.isprintable() else " " for c in words).strip()
    return plain if len(plain) <= most else plain[:most] + "…"


class Checker:
    """Checks the messages of one run in their order.

    ``images`` are the names that were asked for, ``repeats`` how often each, ``instances`` how many objects each must
    have; None where nothing is known. ``elapsed`` says how many seconds have passed since the start.
    """

    def __init__(
        self,
        elapsed: Callable[[], float],
        images: Sequence[str] | None = None,
        repeats: int | None = None,
        instances: int | None = None,
    ) -> None:
        self._elapsed = elapsed
        self._images = None if images is None else frozenset(images)
        self._repeats = repeats
        self._instances = instances
        self._seen: set[str] = set()
        self._samples: set[tuple[str, int]] = set()
        self._claimed_ns = 0
        self._last_start_ns = self._last_end_ns = 0

    def check(self, message: Message) -> None:
        """Raises :class:`ProtocolError` when the message can't stand where it does, or holds what can't be."""
        kind = message["type"]
        if "done" in self._seen:
            raise ProtocolError("it comes after `done`")
        if kind in ONCE and kind in self._seen:
            raise ProtocolError("it comes a second time")
        if kind != "hello" and "hello" not in self._seen:
            raise ProtocolError("it comes before `hello`")
        if kind not in ("hello", "load", "done") and "load" not in self._seen:
            raise ProtocolError("it comes before `load`")
        self._seen.add(kind)
        check = {
            "load": self._load,
            "first_run": self._timed,
            "sample": self._sample,
            "result": self._result,
            "self_test": self._self_test,
            "memory": self._memory,
        }.get(kind)
        if check is not None:
            check(message)

    def missing(self) -> str:
        """What was asked for and hasn't come: "3 of 20 samples", empty when all is there."""
        if self._images is None or self._repeats is None:
            return ""
        wanted = len(self._images) * self._repeats
        return "" if len(self._samples) == wanted else f"{wanted - len(self._samples)} of {counted(wanted, 'sample')}"

    def _load(self, message: Message) -> None:
        _whole(message, "ns")
        if not isinstance(message.get("engine", {}), dict):
            raise ProtocolError("its engine is no object")

    def _timed(self, message: Message) -> None:
        if "image" in message and not isinstance(message["image"], str):
            raise ProtocolError("its image is no name")
        if "instances" in message:
            self._count(message)
        # Runners of before version 1 gave the whole alone.
        whole = isinstance(message.get("ns"), int)
        self._claim(_whole(message, "ns") if whole else check_times(message.get("ns")))

    def _sample(self, message: Message) -> None:
        image = message.get("image")
        if not isinstance(image, str) or (self._images is not None and image not in self._images):
            raise ProtocolError(f"its image {clean(image, 80)!r} wasn't asked for")
        repeat = _whole(message, "repeat")
        if self._repeats is not None and repeat >= self._repeats:
            raise ProtocolError(f"its repeat {repeat} wasn't asked for")
        if (image, repeat) in self._samples and self._images is not None:
            raise ProtocolError(f"repeat {repeat} of {clean(image, 80)!r} comes a second time")
        self._samples.add((image, repeat))
        self._count(message)
        total = check_times(message.get("ns"))
        self._claim(total)
        if message.get("cpu_ns") is not None and _whole(message, "cpu_ns") > MOST_CORES * total + 1e9:
            raise ProtocolError(f"its cpu_ns is more than {MOST_CORES} cores use in its total")
        if message.get("start_ns") is not None:
            start = _whole(message, "start_ns")
            if start < self._last_start_ns:
                raise ProtocolError("its clock went back")
            if start < self._last_end_ns - CLOCK_STEP_NS:
                raise ProtocolError("it began before the last sample had ended")
            self._last_start_ns, self._last_end_ns = start, start + total

    def _count(self, message: Message) -> None:
        count = _whole(message, "instances")
        if self._instances is not None and count != self._instances:
            raise ProtocolError(f"it has {counted(count, 'object')}, {self._instances} were asked for")

    def _claim(self, ns: int) -> None:
        self._claimed_ns += ns
        if self._claimed_ns / 1e9 > CLOCK_FACTOR * self._elapsed() + CLOCK_S:
            raise ProtocolError(
                f"its runs claim {self._claimed_ns / 1e9:.1f} s, but only {self._elapsed():.1f} s have passed"
            )

    def _result(self, message: Message) -> None:
        for side in ("width", "height"):
            _whole(message, side)
        instances = message.get("instances")
        if not isinstance(instances, list):
            raise ProtocolError("its instances are no list")
        if len(instances) > MOST_INSTANCES:
            raise ProtocolError(f"it has {len(instances)} objects, more than {MOST_INSTANCES}")
        if self._instances is not None and len(instances) != self._instances:
            raise ProtocolError(f"it has {counted(len(instances), 'object')}, {self._instances} were asked for")

    def _self_test(self, message: Message) -> None:
        if not isinstance(message.get("passed"), bool):
            raise ProtocolError("it doesn't say whether the self-test passed")

    def _memory(self, message: Message) -> None:
        for name in ("load_bytes", "peak_bytes", "huge_bytes"):
            if message.get(name) is not None:
                _whole(message, name)


def check_times(ns: object) -> int:
    """The total in a sample's times. Raises :class:`ProtocolError` unless all stages are there and fit in it."""
    if not isinstance(ns, Mapping):
        raise ProtocolError("it has no times")
    if missing := [name for name in (*STAGES, TOTAL) if name not in ns]:
        raise ProtocolError(f"it has no time for {', '.join(missing)}")
    if len(ns) > MOST_STAGES:
        raise ProtocolError(f"it has {len(ns)} times")
    if longer := [name for name in ns if len(name) > LONGEST_STAGE]:
        raise ProtocolError(f"its stage {clean(longer[0], 80)} has a name of more than {LONGEST_STAGE} characters")
    for name, value in ns.items():
        if type(value) is not int or not 0 <= value <= LARGEST:
            _whole(ns, name)
    total: int = ns[TOTAL]
    stages = sum(ns[stage] for stage in STAGES)
    if total == 0:
        raise ProtocolError("its total is 0 ns")
    if stages > total:
        raise ProtocolError(f"its stages take {stages} ns, more than their total of {total} ns")
    if longer := [name for name in ns if ns[name] > total]:
        raise ProtocolError(f"its stage {clean(longer[0], 80)} takes longer than the total")
    return total


def _whole(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ProtocolError(f"its {clean(name, 80)} is no whole number: {clean(value, 80)}")
    if not 0 <= value <= LARGEST:
        raise ProtocolError(f"its {clean(name, 80)} is {'below 0' if value < 0 else 'beyond 64 bits'}")
    return value


def _check_values(value: object, levels: int) -> None:
    if isinstance(value, (dict, list)):
        if levels == 0:
            raise ProtocolError(f"it is nested deeper than {DEEPEST} levels")
        for item in value.values() if isinstance(value, dict) else value:
            _check_values(item, levels - 1)
    elif isinstance(value, float):
        if not math.isfinite(value) or abs(value) > LARGEST:
            raise ProtocolError("it holds a number beyond range")
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise ProtocolError("it holds a number beyond range")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
