"""One report, three forms: verdict and exit code, text, JSON."""

from __future__ import annotations

import json

import pytest

from edge_seg.doctor.report import Finding, Level, Report


@pytest.mark.parametrize(
    ("levels", "verdict", "code"),
    [
        (["ok", "note", "warning"], "fine", 0),
        (["ok", "unproven", "warning"], "unproven", 0),
        (["unproven", "error"], "broken", 1),
        ([], "fine", 0),
    ],
)
def test_the_verdict_is_that_of_the_gravest_finding(levels: list[Level], verdict: str, code: int) -> None:
    report = Report("model", "m", tuple(Finding(level, "s", "m") for level in levels))
    assert (report.verdict, report.exit_code) == (verdict, code)


def test_text_and_json_hold_everything() -> None:
    finding = Finding("error", "operators", "no kernel for einsum", "use matmul", "unsupported-operator")
    report = Report("model", "a.pdmodel for arm", (finding,), {"target": "arm"})
    assert str(report).splitlines() == [
        "a.pdmodel for arm: broken",
        "  operators  error: no kernel for einsum",
        "             → use matmul",
    ]
    plain = json.loads(json.dumps(report.as_json()))
    assert plain["findings"] == [finding.as_json()]
    assert (plain["verdict"], plain["target"]) == ("broken", "arm")


def test_nothing_reaches_the_terminal_as_a_command() -> None:
    text = str(Report("model", "\x1b[2J", (Finding("error", "\x1b[31m", "\x1b]0;x\x07" * 1000, "\x1b[m"),)))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert len(text) < 3000
