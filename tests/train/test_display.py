"""Progress on a terminal and in a log."""

from __future__ import annotations

import io

import pytest

from edge_seg.train import display
from edge_seg.train.display import Clock, Display, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_line_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 200.0])
    monkeypatch.setattr(display.time, "monotonic", lambda: next(times))
    stream = Terminal()
    shown = Display(stream)
    shown.status("step 1 of 10")
    shown.status("step 2")
    shown.say("done")
    assert stream.getvalue() == "\rstep 1 of 10\rstep 2      \r      \rdone\n"


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 101.0, 111.0])
    monkeypatch.setattr(display.time, "monotonic", lambda: next(times))
    stream = io.StringIO()
    shown = Display(stream)
    for number in range(3):
        shown.status(f"step {number}")
    shown.say("done")
    assert stream.getvalue() == "step 0\nstep 2\ndone\n"


def test_time_left_counts_steps_and_evaluations() -> None:
    clock = Clock(steps=11, evaluations=2)
    clock.step(2.0)
    clock.evaluation(5.0)
    assert clock.left == "0:25"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (75, "1:15"), (3675, "1:01:15")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
