"""Progress on a terminal and in a log."""

from __future__ import annotations

import io
import re

import pytest

from edge_seg.printable import PrintableStream
from edge_seg.train import display
from edge_seg.train.display import Clock, Display, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_and_the_values_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 100.01, 200.0])
    monkeypatch.setattr(display.time, "monotonic", lambda: next(times))
    monkeypatch.setenv("COLUMNS", "100")
    terminal = Terminal()
    with Display(PrintableStream(terminal)) as shown:  # type: ignore[arg-type]
        shown.status("step", 1, 10, {"loss": "1.250", "lr": "0.01"}, "0:45")
        shown.status("step", 2, 10)  # too soon to be drawn
        shown.say("a class \x1b[31mred")
        shown.status("step", 3, 10, {"GPU memory": "2.5 GB"})
    text = terminal.getvalue()
    for part in ("step 1/10", "0:45 left", "loss 1.250", "lr 0.01", "step 3/10", "GPU memory 2.5 GB", "\x1b["):
        assert part in re.sub(r"\x1b\[[\d;]*m", "", text), part
    assert "step 2/10" not in text
    assert "a class \\x1b[31mred" in text  # what isn't the bar's own is escaped
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is there again


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 101.0, 111.0])
    monkeypatch.setattr(display.time, "monotonic", lambda: next(times))
    stream = io.StringIO()
    shown = Display(stream)
    for number in range(3):
        shown.status("step", number, 9, {"loss": "1.25"}, "0:45")
    shown.say("done")
    assert stream.getvalue() == "step 0/9 loss 1.25, 0:45 left\nstep 2/9 loss 1.25, 0:45 left\ndone\n"


def test_one_that_does_not_lead_says_nothing() -> None:
    terminal = Terminal()
    with Display(terminal, quiet=True) as shown:
        shown.status("step", 1, 2)
        shown.say("done")
    assert terminal.getvalue() == ""


def test_time_left_counts_steps_and_evaluations() -> None:
    clock = Clock(steps=11, evaluations=2)
    clock.step(2.0)
    clock.evaluation(5.0)
    assert clock.left == "0:25"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (75, "1:15"), (3675, "1:01:15")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
