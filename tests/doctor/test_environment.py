"""The machine's report: processors by their cpuinfo, versions by the table."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_seg.doctor import environment
from edge_seg.doctor.environment import LIBRARIES, examine_machine, import_problem, judge_version, word_size
from edge_seg.doctor.processor import examine_processor
from edge_seg.doctor.roles import ROLES, Role, State, judge_roles, role_findings
from edge_seg.process.child import Outcome
from edge_seg.records.machine import read_processor
from tests.conftest import ROOT, Finished

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
    ("title", "version", "paddle", "level"),
    [
        ("paddle", "2.6.2", "2.6.2", "ok"),
        ("paddle", "2.6.1", "2.6.1", "ok"),
        ("paddle", "2.5.0", "2.5.0", "warning"),
        ("paddle", "3.2.2", "3.2.2", "ok"),
        ("numpy", "2.2.6", "", "ok"),
        ("numpy", "2.2.6", "3.2.2", "ok"),
        ("numpy", "2.2.6", "2.6.2", "warning"),
        ("OpenCV", "5.0.0", "", "warning"),
        ("paddlelite", "2.12", "2.6.2", "warning"),
    ],
)
def test_versions_are_judged(title: str, version: str, paddle: str, level: str) -> None:
    finding = judge_version(library(title), version, paddle)
    assert finding.level == level
    assert version in finding.message
    assert (level == "ok") == (not finding.remedy)


BASE = {"numpy": "2.2.6", "OpenCV": "4.14.0", "pycocotools": "2.0.11"}
BOARD = {**BASE, "ONNX Runtime": "1.31.0"}
HOST = {**BOARD, "numpy": "1.26.4", "paddle": "2.6.2", "paddlelite": "2.13rc0", "onnx": "1.23.2"}


def roles(installed: dict[str, str], python: Path | None = None, *, x86: bool = True) -> dict[str, Role]:
    states = {one.title: State(installed.get(one.title)) for one in LIBRARIES}
    return {role.name: role for role in judge_roles(states, x86, lambda: python)}


def possible(judged: dict[str, Role]) -> list[str]:
    return [name for name, role in judged.items() if role.possible]


def test_roles_follow_from_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/ssh" if name == "ssh" else None)
    assert possible(roles(HOST)) == list(ROLES)
    assert possible(roles(BOARD)) == ["run", "measure"]
    assert possible(roles(BOARD, x86=False)) == ["run", "measure"]
    assert possible(roles({**BOARD, "paddle": "3.2.2"})) == ["train", "run", "measure"]
    assert possible(roles({**BOARD, "paddle": "3.2.2"}, Path("/usr/bin/python3.10"))) == list(ROLES)
    assert possible(roles({**BASE, "paddle": "2.6.2"})) == ["train", "run", "measure"]
    assert possible(roles({**BASE, "ncnn": "1.0.20261020"}, x86=False)) == ["run", "measure"]
    assert possible(roles(BASE)) == []
    assert possible(roles({})) == []
    assert roles(BOARD)["measure"].why == "this machine, and boards over ssh"
    assert "python3.10" in roles(BOARD, Path("/usr/bin/python3.10"))["convert"].why


def test_every_role_that_is_impossible_has_a_remedy() -> None:
    for installed in ({}, BASE, BOARD, {**BASE, "paddle": "2.6.2"}):
        for x86 in (True, False):
            for role in roles(installed, x86=x86).values():
                assert role.possible != bool(role.remedy), role
    assert "[train]" in roles(BOARD)["train"].remedy
    assert "[onnx]" in roles(BASE)["run"].remedy


def test_a_machine_that_only_runs_bundles_is_not_broken() -> None:
    judged = tuple(roles(BOARD).values())
    levels = {finding.subject: finding.level for finding in role_findings(judged, ())}
    assert levels == {"train": "note", "convert": "note", "run": "ok", "measure": "ok"}
    wanted = {finding.subject: finding.level for finding in role_findings(judged, ("train", "run"))}
    assert wanted == {"train": "error", "convert": "note", "run": "ok", "measure": "ok"}
    assert all(finding.level == "error" for finding in role_findings(tuple(roles(BASE).values()), ()))


def test_a_library_that_cannot_be_loaded_takes_no_role() -> None:
    states = {one.title: State(HOST.get(one.title)) for one in LIBRARIES}
    states["OpenCV"] = State("4.14.0", "ImportError: libGL.so.1: cannot open shared object file")
    assert not any(role.possible for role in judge_roles(states, True, lambda: None))


def test_a_library_that_ends_the_process_is_named() -> None:
    outcome = Outcome(-6, "begin a\ngood a\nbegin b\nfailed b ImportError: no\nbegin c\n", "", 1.0)
    assert import_problem("a", outcome) == ""
    assert import_problem("b", outcome) == "ImportError: no"
    assert import_problem("c", outcome) == "the process was killed by SIGABRT"
    assert "before it" in import_problem("d", outcome)


def test_a_machine_without_the_libraries_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_installed", lambda library: None)
    report = examine_machine()
    assert report.exit_code == 1
    assert [finding.subject for finding in report.findings if finding.level == "error"] == list(ROLES)
    missing = [finding for finding in report.findings if finding.message == "not installed"]
    assert [finding.subject for finding in missing] == [one.title for one in LIBRARIES]
    assert all("pip install" in finding.remedy for finding in missing)


def test_libgl_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "begin cv2\nfailed cv2 ImportError: libGL.so.1: cannot open shared object file: No such file\n"
    monkeypatch.setattr(environment, "run_command", lambda *_: Outcome(0, said, "", 1.0))
    report = examine_machine()
    (finding,) = [finding for finding in report.findings if finding.subject == "OpenCV"]
    assert finding.code == "missing-system-library"
    assert "opencv-python-headless" in finding.remedy


def test_a_role_is_of_the_machine(edge_seg: Callable[..., Finished]) -> None:
    done = edge_seg("doctor", "mask_rcnn_tiny_fpn", "--role", "run")
    assert done.returncode == 2
    assert "--role is for this machine" in done.stderr


@pytest.mark.slow
def test_this_machine_is_fine(edge_seg: Callable[..., Finished]) -> None:
    done = edge_seg("doctor", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["kind"], report["verdict"]) == (0, "machine", "fine"), done.stdout
    assert report["libraries"]["paddlelite"] == "2.13rc0"


def test_a_32_bit_system_on_a_64_bit_kernel_is_told() -> None:
    (finding,) = word_size("aarch64", 32)
    assert (finding.level, finding.message) == ("warning", "a 32-bit system on a 64-bit kernel (aarch64)")
    assert "armv7hf" in finding.remedy
    assert word_size("aarch64", 64) == word_size("armv7l", 32) == word_size("x86_64", 64) == []
