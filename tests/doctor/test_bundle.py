"""Bundles: hashes, target, then the golden image in a process of its own."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_seg.doctor.bundle import examine_bundle
from tests.conftest import Finished

pytestmark = pytest.mark.slow


def test_a_sound_bundle_passes_its_self_test(tiny_bundles: Path) -> None:
    report = examine_bundle(tiny_bundles / "x86-fp32")
    assert report.verdict == "fine", str(report)
    assert report.findings[-1].message.startswith("passed on x86_64")


def test_a_bundle_for_arm_cannot_be_proven_here(tiny_bundles: Path) -> None:
    report = examine_bundle(tiny_bundles / "arm-fp32")
    assert report.verdict == "unproven", str(report)
    assert report.findings[-1].code == "target-mismatch"


def test_an_altered_file_is_named_and_nothing_is_run(tiny_bundles: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(tiny_bundles / "x86-fp32", tmp_path / "bundle")
    with (bundle / "mask_head.nb").open("r+b") as file:
        file.seek(100)
        file.write(b"altered")
    report = examine_bundle(bundle)
    assert report.verdict == "broken"
    assert [finding.code for finding in report.findings if finding.level == "error"] == ["hash-mismatch"]
    assert "self-test" not in {finding.subject for finding in report.findings}


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("print('nothing of use')", "runner-failed", "without a result"),
        ("import os; os.abort()", "runner-failed", "SIGABRT"),
        ('print(\'{"type": "error", "code": "c", "message": "broke", "remedy": "mend"}\')', "c", "broke"),
        ('print(\'{"type": "self_test", "passed": true}\')', "runner-failed", "without a result"),  # cut short
    ],
)
def test_a_runner_that_fails_is_told(tiny_bundles: Path, program: str, code: str, said: str) -> None:
    report = examine_bundle(tiny_bundles / "arm-fp32", (sys.executable, "-c", program))
    assert report.verdict == "broken"
    assert report.findings[-1].code == code
    assert said in report.findings[-1].message


def test_a_runner_vouches_for_a_bundle(edge_seg: Callable[..., Finished], tiny_bundles: Path) -> None:
    runner = shlex.join([sys.executable, "-m", "edge_seg.runtime.runner"])
    done = edge_seg("doctor", tiny_bundles / "x86-fp32", "--runner", runner, "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["verdict"]) == (0, "fine"), done.stdout
    assert report["findings"][-1]["subject"] == "runner"
