"""Other engines beside ours: the arithmetic, on times made up for the purpose."""

from __future__ import annotations

from benchmarks.claims import Round
from benchmarks.engines import line


def times(detect: int, cpu: int) -> dict[str, int]:
    return {"pre": 1, "detect": detect, "nms": 0, "mask": 0, "post": 1, "total": detect + 2, "cpu": cpu}


def test_a_line_has_both_clocks_with_their_intervals() -> None:
    rounds: list[Round] = [{"cpu-fp32": times(100, 200), "openvino": times(90 + n, 150)} for n in (-1, 0, 1)]
    text = line("openvino", rounds)
    assert "openvino" in text
    assert "model time 0.900 (0.890 to 0.910)" in text
    assert "CPU time 0.750 (0.750 to 0.750)" in text
