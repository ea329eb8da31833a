"""What is claimed, as ratios of one round's times, each with its limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_seg.records.record import MODEL_STAGES, STAGES
from edge_seg.records.statistics import Summary, summarise

Round = dict[str, dict[str, int]]
"""One run of every contestant, one after the other: contestant → stage → ns."""


@dataclass(frozen=True)
class Claim:
    """``ratio`` of a round is to be at most ``limit``."""

    text: str
    limit: float
    ratio: Callable[[Round], float]


@dataclass(frozen=True)
class Result:
    """A claim's ratio over all rounds. Judged by the median: one disturbed round must not decide."""

    claim: Claim
    ratio: Summary

    @property
    def holds(self) -> bool:
        return self.ratio.median <= self.claim.limit


def model_ns(stages: dict[str, int]) -> int:
    """Model time: detect + NMS + mask, or the one graph that does them all."""
    return stages["full"] if "full" in stages else sum(stages[stage] for stage in MODEL_STAGES)


def _forms(recipe: str) -> Callable[[Round], float]:
    return lambda round_: model_ns(round_[recipe]) / model_ns(round_[f"{recipe}-full"])


def _rest(recipe: str) -> Callable[[Round], float]:
    return lambda round_: 1 - sum(round_[recipe][stage] for stage in STAGES) / round_[recipe]["total"]


def _around(recipe: str) -> Callable[[Round], float]:
    return lambda round_: (round_[recipe]["pre"] + round_[recipe]["post"]) / model_ns(round_[recipe])


CLAIMS: Sequence[Claim] = (
    Claim("cpu-fp32: three graphs, RoIAlign and NMS between / one graph with all inside", 1.03, _forms("cpu-fp32")),
    Claim("x86-fp32: three graphs, RoIAlign and NMS between / one graph with all inside", 1.03, _forms("x86-fp32")),
    Claim("cpu-fp32: time outside the stages / whole", 0.02, _rest("cpu-fp32")),
    Claim("x86-fp32: time outside the stages / whole", 0.02, _rest("x86-fp32")),
    Claim("cpu-fp32: pre- and post-processing of a 1280x720 image / model time", 0.10, _around("cpu-fp32")),
)


def judge(rounds: Sequence[Round]) -> list[Result]:
    """Every claim's result over at least one round."""
    return [Result(claim, summarise([claim.ratio(round_) for round_ in rounds])) for claim in CLAIMS]
