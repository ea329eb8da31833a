"""What the doctor says: findings, the verdict that follows from them, text, JSON and exit code."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any, Literal

from edge_seg.bundles.text import WIDTH, printable
from edge_seg.errors import EdgeSegError

Level = Literal["ok", "note", "warning", "unproven", "error"]
Verdict = Literal["fine", "unproven", "broken"]

_MOST = 1000  # characters of a message: a library's last words may be endless
_WORDS: dict[Level, str] = {
    "ok": "",
    "note": "",
    "warning": "warning: ",
    "unproven": "not proven: ",
    "error": "error: ",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, ``subject``, and what was found.

    ``warning``: works, but something may go wrong; ``unproven``: can't be told here; ``error``: doesn't work.
    """

    level: Level
    subject: str
    message: str
    remedy: str = ""
    code: str = ""

    def as_json(self) -> dict[str, str]:
        return {
            "level": self.level,
            "subject": self.subject,
            "message": self.message,
            "remedy": self.remedy,
            "code": self.code,
        }


def failure(subject: str, problem: EdgeSegError) -> Finding:
    """The finding that an error amounts to."""
    return Finding("error", subject, problem.message, problem.remedy, problem.code)


@dataclass(frozen=True)
class Report:
    """``what`` was examined, the ``findings`` in the order in which they were made, ``facts`` for scripts."""

    kind: Literal["machine", "model", "bundle"]
    what: str
    findings: tuple[Finding, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        levels = {finding.level for finding in self.findings}
        return "broken" if "error" in levels else "unproven" if "unproven" in levels else "fine"

    @property
    def exit_code(self) -> int:
        return 1 if self.verdict == "broken" else 0

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "what": self.what,
            "verdict": self.verdict,
            "findings": [finding.as_json() for finding in self.findings],
            **self.facts,
        }

    def __str__(self) -> str:
        subjects = [printable(finding.subject, 40) for finding in self.findings]
        width = max(map(len, subjects), default=0) + 4
        lines = [f"{printable(self.what)}: {self.verdict}"]
        for subject, finding in zip(subjects, self.findings, strict=True):
            said = _WORDS[finding.level] + printable(finding.message, _MOST)
            lines += _wrapped(f"  {subject}".ljust(width), said, " " * width)
            if finding.remedy:
                lines += _wrapped(" " * width + "→ ", printable(finding.remedy, _MOST), " " * width + "  ")
        return "\n".join(lines)


def _wrapped(first: str, text: str, then: str) -> list[str]:
    # Paths and command lines stay whole, so that they can be copied.
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=then,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first]
