"""The claims' arithmetic, on times made up for the purpose."""

from __future__ import annotations

from benchmarks.claims import CLAIMS, Round, judge

TWO = {"pre": 2, "detect": 80, "nms": 5, "mask": 15, "post": 3, "total": 106}
SLOW = {"pre": 2, "detect": 320, "nms": 5, "mask": 75, "post": 3, "total": 406}


def rounds(**changes: dict[str, int]) -> list[Round]:
    times: Round = {"cpu-fp32": TWO, "x86-fp32": SLOW, "cpu-fp32-full": {"full": 100}, "x86-fp32-full": {"full": 400}}
    times.update({name.replace("_", "-"): value for name, value in changes.items()})
    return [times] * 3


def ratios(measured: list[Round]) -> list[float]:
    return [round(result.ratio.median, 6) for result in judge(measured)]


def test_ratios() -> None:
    assert ratios(rounds()) == [1.0, 1.0, round(1 / 106, 6), round(1 / 406, 6), 0.05]
    assert all(result.holds for result in judge(rounds()))


def test_each_claim_can_fail() -> None:
    failing = [
        rounds(cpu_fp32_full={"full": 90}),
        rounds(x86_fp32_full={"full": 380}),
        rounds(cpu_fp32={**TWO, "total": 120}),
        rounds(x86_fp32={**SLOW, "total": 450}),
        rounds(cpu_fp32={**TWO, "post": 12, "total": 115}),
    ]
    for index, measured in enumerate(failing):
        assert [result.holds for result in judge(measured)] == [other != index for other in range(len(CLAIMS))]


def test_one_disturbed_round_does_not_decide() -> None:
    disturbed = rounds(cpu_fp32={**TWO, "detect": 500})[:1]
    assert all(result.holds for result in judge([*rounds(), *disturbed]))
