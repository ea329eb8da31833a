"""The native runner against the Python one: the same command lines on the null engine, line by line."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge_seg.runtime import runner
from tests.native.bundles import Lines, edit, expect, native
from tests.native.conftest import command_of
from tests.native.running import of_kind


def python(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, Lines]:
    capsys.readouterr()
    code = runner.main(options)
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def comparable(line: dict[str, Any]) -> Any:
    """What both runners must say alike: all but times, memory, versions and the wording of messages."""
    kind = line["type"]
    if kind == "hello":
        return (kind, line["version"], line["protocol"], sorted(line["cpu"]))
    if kind == "load":
        return (kind, line["bundle"], line["engine"], line["ns"] > 0)
    if kind in ("first_run", "sample"):
        assert all(ns >= 0 for ns in line["ns"].values())
        # Python's also tells of the stages within detect and mask.
        stages = [name for name in line["ns"] if name in STAGES]
        return (kind, line["image"], line.get("repeat"), line["instances"], stages)
    if kind == "memory":
        # Whether there are huge pages is the system's and each program's own matter.
        return (kind, {name: name == "huge_bytes" or value > 1e5 for name, value in line.items() if name != "type"})
    if kind == "error":
        return (kind, line["code"], bool(line["message"]))
    return line


STAGES = ("pre", "detect", "nms", "mask", "post", "total")
RUN = ("--bundle", "bundle", "--engine", "null", "--json", "--warmup", "1", "--repeat", "2")
PHOTO = ("--images", "a photo.jpg")

GOOD = {
    "one image": (*RUN, *PHOTO),
    "several images": (*RUN, "--images", "a photo.jpg", "grey.png", "pixel.png"),
    "instances": (*RUN, "--images", "a photo.jpg", "grey.png", "--instances", "5"),
    "more than the null engine's own": (*RUN, *PHOTO, "--instances", "20"),
    "no instances": (*RUN, *PHOTO, "--instances", "0"),
    "self-test only": (*RUN, "--self-test"),
    "self-test and image": (*RUN, "--self-test", *PHOTO),
    "three graphs": (*RUN, "--bundle", "three", "--self-test", *PHOTO, "--instances", "5"),
    "four graphs": (*RUN, "--bundle", "four", "--self-test", *PHOTO, "--instances", "15"),
    "path of other forms": (*RUN, "--images", "./bundle//golden/image.png", "bundle/../pixel.png"),
    "the same image twice": (*RUN, "--images", "grey.png", "grey.png"),
    "no warm-up": (*RUN, *PHOTO, "--warmup", "0", "--repeat", "1"),
}

BAD = {
    "nothing to do": RUN,
    "no bundle named": ("--json", *PHOTO),
    "no such option": (*RUN, *PHOTO, "--no-such-option"),
    "no images named": (*RUN, "--images"),
    "a word for a number": (*RUN, *PHOTO, "--repeat", "often"),
    "no repeats": (*RUN, *PHOTO, "--repeat", "0"),
    "negative warm-up": (*RUN, *PHOTO, "--warmup", "-1"),
    "negative threads": (*RUN, *PHOTO, "--threads", "-1"),
    "unknown power mode": (*RUN, *PHOTO, "--power-mode", "fastest"),
    "unknown engine": (*RUN, *PHOTO, "--engine", "other"),
    "too many instances": (*RUN, *PHOTO, "--instances", "21"),
    "negative instances": (*RUN, *PHOTO, "--instances", "-1"),
    "no such bundle": (*RUN, *PHOTO, "--bundle", "none"),
    "an image for a bundle": (*RUN, *PHOTO, "--bundle", "pixel.png"),
    "a folder that is no bundle": (*RUN, *PHOTO, "--bundle", "."),
    "no such image": (*RUN, "--images", "none.jpg"),
    "damaged image after a good one": (*RUN, "--images", "pixel.png", "broken.jpg"),
    "a folder for an image": (*RUN, "--images", "bundle"),
}

DAMAGE: dict[str, Callable[[Path], Any]] = {
    "other schema": lambda b: edit(b, "schema", value=2),
    "no manifest": lambda b: (b / "manifest.json").unlink(),
    "cut manifest": lambda b: (b / "manifest.json").write_bytes((b / "manifest.json").read_bytes()[:100]),
    "altered graph": lambda b: (b / "mask.nb").write_text("altered"),
    "missing graph": lambda b: (b / "detect.nb").unlink(),
    "unknown field": lambda b: edit(b, "postprocess", "soft", value=True),
    "field of another type": lambda b: edit(b, "preprocess", "size", value="64x96"),
    "odd size": lambda b: edit(b, "preprocess", "size", value=[64, 95]),
    "no mask threshold": lambda b: edit(b, "postprocess", "mask_threshold", value=0.0),
    "name out of the bundle": lambda b: edit(b, "graphs", "mask", "files", value={"../x": "0"}),
    "no golden result": lambda b: (b / "golden/expected.json").unlink(),
}


def compare(command: list[str], capsys: pytest.CaptureFixture[str], options: tuple[str, ...]) -> tuple[int, Lines]:
    """Runs both, compares, and returns what the native runner said."""
    code, said = native(command, *options)
    expected_code, expected = python(capsys, *options)
    assert [comparable(line) for line in said] == [comparable(line) for line in expected]
    assert code == expected_code
    return code, said


@pytest.mark.parametrize("name", GOOD)
def test_good_runs(command: list[str], folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, said = compare(command, capsys, GOOD[name])
    assert code == 0
    assert said[-1] == {"type": "done"}


@pytest.mark.parametrize("name", BAD)
def test_bad_runs(command: list[str], folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, said = compare(command, capsys, BAD[name])
    assert code in (1, 2)
    assert said[-1]["type"] == "error"


def test_wrong_machine(command: list[str], folder: Path) -> None:
    edit(folder / "bundle", "target", value="gpu")
    code, said = native(command, *RUN, *PHOTO, "--engine", "paddle-lite")
    assert (code, said[-1]["code"]) == (1, "target-mismatch")


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_bundles(command: list[str], folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    DAMAGE[name](folder / "bundle")
    code, said = compare(command, capsys, (*RUN, *PHOTO))
    assert code == 1
    assert said[-1]["remedy"] or name == "no mask threshold"


def first_changed(field: str, change: Callable[[Any], Any]) -> Callable[[Lines], Lines]:
    return lambda items: [{**items[0], field: change(items[0][field])}, *items[1:]]


WRONG: dict[str, Callable[[Lines], Lines]] = {
    "a box moved": first_changed("box", lambda box: [box[0] + 0.5, *box[1:]]),
    "a score changed": first_changed("score", lambda score: score + 0.01),
    "a class changed": first_changed("class", lambda number: 1 - number),
    "an instance missing": lambda items: items[1:],
    "another mask": first_changed("segmentation", lambda _: {"size": [50, 70], "counts": "0\\]3"}),
}


@pytest.mark.parametrize("name", WRONG)
def test_self_test_finds_what_differs(
    command: list[str], folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    expect(folder / "bundle", WRONG[name])
    code, said = compare(command, capsys, (*RUN, "--self-test"))
    assert code == 1
    assert said[-1]["code"] == "self-test-failed"


@pytest.mark.parametrize(("score", "code"), [(0.4, 0), (0.9, 1)])
def test_self_test_judges_what_is_sure(
    command: list[str], folder: Path, capsys: pytest.CaptureFixture[str], score: float, code: int
) -> None:
    limits = {"score": 0.5, "least_score": 0.5}
    edit(folder / "bundle", "verification", value={"engine": "x", "self_test": limits})
    # The null engine's scores are all 0; the box lies elsewhere and has no partner.
    expect(folder / "bundle", lambda items: [{**items[0], "box": [0, 0, 1, 1], "score": score}, *items[1:]])
    got, said = compare(command, capsys, (*RUN, "--self-test"))
    assert got == code
    tested = next(line for line in said if line["type"] == "self_test")
    assert (tested["expected"], tested["found"], tested["matched"]) == (code, 0, 0)


def test_self_test_of_a_damaged_result(command: list[str], folder: Path) -> None:
    changes: list[Callable[[Lines], Any]] = [
        lambda items: [{}],
        lambda items: [1],
        first_changed("box", lambda box: box[:3]),
        first_changed("segmentation", lambda code: {**code, "counts": "0"}),
    ]
    for change in changes:
        expect(folder / "bundle", change)
        code, said = native(command, *RUN, "--self-test")
        assert (code, said[-1]["code"]) == (1, "golden-invalid")


def test_threshold(command: list[str], folder: Path) -> None:
    """The null engine's scores are all 0: nothing is above a threshold, with or without the option."""
    for score, expected in (("0", 0), ("1", 0), ("1.5", 2), ("-0.5", 2)):
        assert native(command, *RUN, *PHOTO, "--score", score)[0] == expected


def test_lines_for_people(command: list[str], folder: Path) -> None:
    options = [option for option in (*RUN, *PHOTO) if option != "--json"]
    finished = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    kinds = [line.partition(":")[0] for line in finished.stdout.splitlines()]
    assert kinds == ["hello", "load", "first_run", "sample", "sample", "result", "memory", "done"]


def test_help_and_version(command: list[str]) -> None:
    for option in ("--help", "--version"):
        finished = subprocess.run([*command, option], capture_output=True, text=True, check=True)
        assert finished.stdout


def test_overlay_images(command: list[str], folder: Path) -> None:
    images = ["a photo.jpg", "grey.png", "bundle/golden/image.png"]
    shutil.copy("grey.png", "bundle/grey.png")
    code, _ = native(command, *RUN, "--images", *images, "bundle/grey.png", "--instances", "3", "--save", "new/out")
    assert code == 0
    assert sorted(p.name for p in Path("new/out").iterdir()) == ["a photo.png", "grey-2.png", "grey.png", "image.png"]
    original, drawn = cv2.imread("a photo.jpg"), cv2.imread("new/out/a photo.png")
    assert drawn.shape == original.shape
    assert (drawn != original).any()
    assert (drawn == original).any()


def test_overlay_never_overwrites_an_image(command: list[str], folder: Path) -> None:
    before = Path("grey.png").read_bytes()
    code, said = native(command, *RUN, "--images", "grey.png", "--save", ".")
    assert (code, said[-1]["code"]) == (2, "usage")
    assert Path("grey.png").read_bytes() == before


def test_overlay_folder_that_is_a_file(command: list[str], folder: Path) -> None:
    code, said = native(command, *RUN, *PHOTO, "--save", "grey.png")
    assert (code, said[-1]["code"]) == (1, "enotdir")


def test_full_disk_and_reader_gone(command: list[str], folder: Path) -> None:
    with open("/dev/full", "w") as full:
        finished = subprocess.run([*command, *RUN, *PHOTO], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert finished.returncode == 1
    with subprocess.Popen([*command, *RUN, *PHOTO, "--repeat", "100000"], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 1


@pytest.fixture
def endless(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The native runner of this machine in the middle of very many samples."""
    command = [*command_of("host", "edge-seg-run"), *RUN, *PHOTO, "--repeat", "100000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if '"sample"' in line:
                break
        yield process
        process.kill()


def last_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout
    *_, last = process.stdout
    line: dict[str, Any] = json.loads(last)
    return line


def child_of(process: subprocess.Popen[str]) -> int:
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(endless: subprocess.Popen[str], number: int) -> None:
    child = child_of(endless)
    endless.send_signal(number)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)  # a terminal's Ctrl-C reaches both
    assert last_line(endless)["code"] == "interrupted"
    assert endless.wait(10) == 130


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
def test_death_of_the_library_is_an_error_line(endless: subprocess.Popen[str], number: signal.Signals) -> None:
    os.kill(child_of(endless), number)
    error = last_line(endless)
    assert error["code"] == "crashed"
    assert number.name in error["message"]
    assert error["remedy"]
    assert endless.wait(10) == 1


def test_nothing_is_left_when_the_runner_is_killed(endless: subprocess.Popen[str]) -> None:
    child = child_of(endless)
    endless.kill()
    endless.wait(10)
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "zombie" in Path(f"/proc/{child}/status").read_text():
            return
        time.sleep(0.05)
    raise AssertionError("the child lives on")


def test_samples_say_their_cpu_time_and_when_they_began(command: list[str], folder: Path) -> None:
    begin = time.monotonic_ns()
    code, lines = native(command, *RUN, *PHOTO, "--repeat", "5", "--instances", "9")
    end = time.monotonic_ns()
    samples = of_kind(lines, "sample")
    assert (code, len(samples)) == (0, 5)
    starts = [sample["start_ns"] for sample in samples]
    assert begin <= starts[0]
    assert starts[-1] + samples[-1]["ns"]["total"] <= end
    for sample, following in itertools.pairwise(samples):
        assert sample["start_ns"] + sample["ns"]["total"] <= following["start_ns"]
        # One thread, which can't compute for longer than it took; clocks differ by their steps.
        assert 0 < sample["cpu_ns"] <= sample["ns"]["total"] + 1_000_000


def test_warm_runs_the_golden_image_first(command: list[str], folder: Path) -> None:
    code, lines = native(command, *RUN, *PHOTO, "--repeat", "1", "--warm")
    kinds = [line["type"] for line in lines]
    assert code == 0
    assert kinds.index("load") < kinds.index("warm") < kinds.index("first_run")
    assert of_kind(lines, "warm")[0]["ns"]["mask"] > 0
