"""A bundle: whether it is whole, then its self-test by a runner, in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_seg.bundles.check import CheckReport, check
from edge_seg.doctor.report import Finding, Report, failure
from edge_seg.process.child import Outcome, run_command
from edge_seg.process.guard import phase
from edge_seg.process.python import module_command

LIMIT_S = 600.0
LOCAL = tuple(module_command("edge_seg.runtime.runner"))
# The bundle may be sound; this machine can't tell.
_NOT_HERE = ("target-mismatch", "missing-dependency")


def examine_bundle(path: Path, runner: Sequence[str] = ()) -> Report:
    """The bundle in the folder ``path``, run by ``runner``, or by this machine's engine."""
    phase(f"examining {path}")
    checked = check(path)
    findings = list(_findings(checked))
    if not checked.problems:
        findings.append(self_test(path, runner))
    return Report("bundle", str(path), tuple(findings), {"id": checked.id})


def _findings(checked: CheckReport) -> list[Finding]:
    findings = []
    for name, said in checked.checks.items():
        if isinstance(said, str):
            findings.append(Finding("ok", name, said))
        elif not said:
            findings.append(Finding("note", name, "not checked"))
        else:
            findings += [failure(name, problem) for problem in said]
    return [*findings, *(Finding("note", "files", note) for note in checked.notes)]


def self_test(bundle: Path, runner: Sequence[str] = ()) -> Finding:
    """Has the golden image run and compared, by ``runner`` or, without one, here."""
    outcome = run_command([*(runner or LOCAL), "--bundle", str(bundle), "--self-test", "--json"], LIMIT_S)
    lines = {line["type"]: line for line in _lines(outcome)}
    subject = "runner" if runner else "self-test"
    error = lines.get("error")
    if error:
        message, remedy, code = (str(error.get(name, "")) for name in ("message", "remedy", "code"))
        here = not runner and code in _NOT_HERE
        return Finding("unproven" if here else "error", subject, message, remedy, code)
    tested = lines.get("self_test")
    if tested is None or "done" not in lines or not outcome.ok:
        said = outcome.tail(2)
        remedy = "give a command that takes --bundle, --self-test and --json" if runner else "convert the bundle anew"
        message = f"the runner {outcome.ending()} without a result{': ' + said if said else ''}"
        return Finding("error", subject, message, remedy, "runner-failed")
    hello = lines.get("hello", {})
    libraries = ", ".join(f"{name} {version}" for name, version in _known(hello.get("libraries")).items())
    said = f"{tested.get('matched')} of {tested.get('expected')} instances matched"
    return Finding("ok", subject, f"passed on {hello.get('machine', 'the target')}: {said} ({libraries})")


def _lines(outcome: Outcome) -> list[dict[str, Any]]:
    """The runner's JSON lines, whatever else is among them."""
    lines = []
    for line in outcome.stdout.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and isinstance(value.get("type"), str):
            lines.append(value)
    return lines


def _known(libraries: Any) -> dict[str, Any]:
    engines = ("paddlelite", "paddle-lite", "paddlepaddle", "onnxruntime", "ncnn")
    return {name: libraries[name] for name in engines if name in libraries} if isinstance(libraries, dict) else {}
