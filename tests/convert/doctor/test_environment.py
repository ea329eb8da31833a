"""The machine's report: processors by their cpuinfo, versions by the table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from convert.doctor import environment
from convert.doctor.environment import (
    CONVERT,
    LIBRARIES,
    PREDICT,
    TRAIN,
    examine_machine,
    import_problem,
    judge_version,
)
from convert.doctor.processor import examine_processor
from edge_seg.process.child import Outcome
from edge_seg.records.machine import read_processor
from tests.conftest import ROOT, Finished

ALL = (TRAIN, CONVERT, PREDICT)
PI5 = (
    "".join(
        f"processor\t: {core}\nFeatures\t: fp asimd asimdhp asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n"
        for core in range(4)
    )
    + "Model\t\t: Raspberry Pi 5 Model B\n"
)


def x86(flags: str) -> str:
    return f"processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu {flags}\n\n"


def library(title: str) -> environment.Library:
    return next(one for one in LIBRARIES if one.title == title)


def test_a_pi_5_is_told_with_what_paddle_lite_misreads() -> None:
    processor = read_processor("aarch64", PI5)
    assert processor.cores == {"Cortex-A76": 4}
    assert processor.features == ("NEON", "dot product", "fp16")
    said, misread = examine_processor(processor)
    assert "Raspberry Pi 5 Model B" in said.message
    assert "4 × Cortex-A76" in said.message
    assert (misread.level, misread.code) == ("warning", "cortex-a76-misread")
    assert "0xd0b" in misread.message
    assert misread.remedy


def test_big_and_little_cores_are_counted() -> None:
    block = "processor: {}\nFeatures: asimd\nCPU implementer: 0x41\nCPU part: {}\n\n"
    text = "".join(block.format(core, "0xd05" if core < 4 else "0xd41") for core in range(6))
    assert read_processor("aarch64", text).cores == {"Cortex-A55": 4, "Cortex-A78": 2}
    unknown = read_processor("aarch64", block.format(0, "0x999"))
    assert unknown.cores == {"part 0x41:0x999": 1}


@pytest.mark.parametrize(
    ("flags", "levels"), [("avx avx2 fma avx512f", ["ok"]), ("avx", ["ok", "warning"]), ("sse2", ["ok", "error"])]
)
def test_x86_needs_avx_and_wants_avx2(flags: str, levels: list[str]) -> None:
    assert [finding.level for finding in examine_processor(read_processor("x86_64", x86(flags)))] == levels


@pytest.mark.parametrize("text", ["", "nonsense", "processor: 0\nCPU implementer: x\nCPU part: y\n"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "armv7l", "riscv64"])
def test_a_processor_that_says_little_is_no_error(machine: str, text: str) -> None:
    assert examine_processor(read_processor(machine, text))[0].level == "ok"


def test_tested_versions_are_those_that_the_tests_run_with() -> None:
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert {one.title: one.tested for one in LIBRARIES} == {one.title: pins[one.names[0]] for one in LIBRARIES}
    assert all(one.tested.startswith(one.fits) for one in LIBRARIES)


@pytest.mark.parametrize(
    ("title", "version", "works", "level"),
    [
        ("paddle", "2.6.2", ALL, "ok"),
        ("paddle", "2.6.1", ALL, "ok"),
        ("paddle", "2.5.0", ALL, "warning"),
        ("paddle", "3.2.2", ALL, "error"),
        ("paddle", "3.2.2", (PREDICT,), "warning"),
        ("numpy", "2.2.6", ALL, "warning"),
        ("OpenCV", "5.0.0", ALL, "warning"),
        ("paddlelite", "2.12", ALL, "warning"),
    ],
)
def test_versions_are_judged(title: str, version: str, works: tuple[str, ...], level: str) -> None:
    finding = judge_version(library(title), version, works)
    assert finding.level == level
    assert version in finding.message
    assert (level == "ok") == (not finding.remedy)


def test_a_library_that_ends_the_process_is_named() -> None:
    outcome = Outcome(-6, "begin a\ngood a\nbegin b\nfailed b ImportError: no\nbegin c\n", "", 1.0)
    assert import_problem("a", outcome) == ""
    assert import_problem("b", outcome) == "ImportError: no"
    assert import_problem("c", outcome) == "the process was killed by SIGABRT"
    assert "before it" in import_problem("d", outcome)


def test_missing_libraries_stop_the_work_that_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_installed", lambda library: None)
    report = examine_machine()
    assert report.exit_code == 1
    missing = {finding.subject: finding for finding in report.findings if finding.code == "missing-dependency"}
    assert {"numpy", "OpenCV", "pycocotools", "engines"} <= missing.keys()
    assert all(finding.remedy.startswith("pip install") for finding in missing.values())


@pytest.mark.slow
def test_this_machine_is_fine(edge_seg: Callable[..., Finished]) -> None:
    done = edge_seg("doctor", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["kind"], report["verdict"]) == (0, "machine", "fine"), done.stdout
    assert report["libraries"]["paddlelite"] == "2.13rc0"
