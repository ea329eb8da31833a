"""The native runner against the Python one: the same command lines on the null engine, line by line."""

from __future__ import annotations

import contextlib
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
import numpy as np
import pytest

from edge_seg.bundle import (
    Golden,
    GraphSpec,
    Manifest,
    PostprocessSpec,
    PreprocessSpec,
    TensorSpec,
    open_bundle,
    write_manifest,
)
from edge_seg.files import sha256
from edge_seg.runtime import runner
from edge_seg.runtime.segmenter import Segmenter
from tests.native.conftest import built, command_of

Lines = list[dict[str, Any]]
HEIGHT, WIDTH, PROPOSALS, CLASSES = 64, 96, 12, ("circle", "square")


def float_tensor(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, shape, "float32")


def make_bundle(folder: Path) -> None:
    """A bundle whose graphs are no graphs: enough for the null engine."""
    (folder / "golden").mkdir(parents=True)
    for name in ("detect.nb", "mask.nb", "golden/expected.json"):
        (folder / name).write_text(name)
    image = np.random.default_rng(1).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "golden/image.png"), image)
    features = tuple(float_tensor(f"p{n}", 1, 8, HEIGHT >> n, WIDTH >> n) for n in (2, 3, 4, 5))
    detect = GraphSpec(
        {"detect.nb": sha256(folder / "detect.nb")},
        (float_tensor("image", 1, 3, HEIGHT, WIDTH),),
        (
            float_tensor("boxes", PROPOSALS, len(CLASSES), 4),
            float_tensor("scores", PROPOSALS, len(CLASSES) + 1),
            *features,
        ),
    )
    boxes = (float_tensor("boxes", -1, 4), TensorSpec("num", (1,), "int32"), TensorSpec("channel", (-1,), "int32"))
    mask = GraphSpec({"mask.nb": sha256(folder / "mask.nb")}, (*features, *boxes), (float_tensor("masks", -1, 28, 28),))
    manifest = Manifest(
        name="null-test",
        model="mask_rcnn_tiny_fpn",
        recipe="arm-fp32",
        engine="paddle-lite",
        engine_version="2.13rc0",
        target="arm",
        precision="fp32",
        classes=CLASSES,
        category_ids=(1, 2),
        preprocess=PreprocessSpec((HEIGHT, WIDTH)),
        postprocess=PostprocessSpec(keep=20),
        proposals=PROPOSALS,
        graphs={"detect": detect, "mask": mask},
        golden=Golden(
            {name: sha256(folder / name) for name in ("golden/image.png", "golden/expected.json")},
            "golden/image.png",
            "golden/expected.json",
            instances=4,
        ),
        random_weights=True,
        source={},
    )
    write_manifest(folder, manifest)
    expect(folder, lambda instances: instances)


def expect(folder: Path, change: Callable[[Lines], Any]) -> None:
    """Writes the golden result, changed, and its hash."""
    bundle = open_bundle(folder)
    golden = bundle.manifest.golden
    with Segmenter(bundle, engine="null", instances=golden.instances) as segmenter:
        instances = segmenter(folder / golden.image).as_json()
    (folder / golden.expected).write_text(json.dumps({"instances": change(instances)}))
    edit(folder, "golden", "files", golden.expected, value=sha256(folder / golden.expected))


def edit(folder: Path, *place: str, value: Any) -> None:
    """Changes a field of the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    inner = manifest
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("native")
    make_bundle(folder / "bundle")
    rng = np.random.default_rng(2)
    image = cv2.GaussianBlur(rng.integers(0, 256, (120, 200, 3), dtype=np.uint8), (0, 0), 2)
    cv2.imwrite(str(folder / "a photo.jpg"), image)
    cv2.imwrite(str(folder / "grey.png"), rng.integers(0, 65536, (33, 21), dtype=np.uint16))
    cv2.imwrite(str(folder / "pixel.png"), image[:1, :1])
    (folder / "broken.jpg").write_bytes((folder / "a photo.jpg").read_bytes()[:500])
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for each test, with a bundle and pictures, and the current one."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture(params=built("edge-seg-run"))
def command(request: pytest.FixtureRequest) -> list[str]:
    return command_of(request.param, "edge-seg-run")


def native(command: list[str], *options: str, **settings: Any) -> tuple[int, Lines]:
    finished = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, **settings)
    return finished.returncode, [json.loads(line) for line in finished.stdout.splitlines()]


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
        return (kind, line["image"], line.get("repeat"), line["instances"], list(line["ns"]))
    if kind == "memory":
        return (kind, {name: value > 1e5 for name, value in line.items() if name != "type"})
    if kind == "error":
        return (kind, line["code"], bool(line["message"]))
    return line


RUN = ("--bundle", "bundle", "--engine", "null", "--json", "--warmup", "1", "--repeat", "2")
PHOTO = ("--images", "a photo.jpg")

GOOD = {
    "one picture": (*RUN, *PHOTO),
    "several pictures": (*RUN, "--images", "a photo.jpg", "grey.png", "pixel.png"),
    "instances": (*RUN, "--images", "a photo.jpg", "grey.png", "--instances", "5"),
    "more than the null engine's own": (*RUN, *PHOTO, "--instances", "20"),
    "no instances": (*RUN, *PHOTO, "--instances", "0"),
    "self-test only": (*RUN, "--self-test"),
    "self-test and picture": (*RUN, "--self-test", *PHOTO),
    "path of other forms": (*RUN, "--images", "./bundle//golden/image.png", "bundle/../pixel.png"),
    "the same picture twice": (*RUN, "--images", "grey.png", "grey.png"),
    "no warm-up": (*RUN, *PHOTO, "--warmup", "0", "--repeat", "1"),
}

BAD = {
    "nothing to do": RUN,
    "no bundle named": ("--json", *PHOTO),
    "no such option": (*RUN, *PHOTO, "--no-such-option"),
    "no pictures named": (*RUN, "--images"),
    "a word for a number": (*RUN, *PHOTO, "--repeat", "often"),
    "no repeats": (*RUN, *PHOTO, "--repeat", "0"),
    "negative warm-up": (*RUN, *PHOTO, "--warmup", "-1"),
    "negative threads": (*RUN, *PHOTO, "--threads", "-1"),
    "unknown power mode": (*RUN, *PHOTO, "--power-mode", "fastest"),
    "unknown engine": (*RUN, *PHOTO, "--engine", "other"),
    "too many instances": (*RUN, *PHOTO, "--instances", "21"),
    "negative instances": (*RUN, *PHOTO, "--instances", "-1"),
    "no such bundle": (*RUN, *PHOTO, "--bundle", "none"),
    "a picture for a bundle": (*RUN, *PHOTO, "--bundle", "pixel.png"),
    "a folder that is no bundle": (*RUN, *PHOTO, "--bundle", "."),
    "no such picture": (*RUN, "--images", "none.jpg"),
    "damaged picture after a good one": (*RUN, "--images", "pixel.png", "broken.jpg"),
    "a folder for a picture": (*RUN, "--images", "bundle"),
    "wrong machine": (*RUN, *PHOTO, "--engine", "paddle-lite"),
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


def test_overlay_pictures(command: list[str], folder: Path) -> None:
    images = ["a photo.jpg", "grey.png", "bundle/golden/image.png"]
    shutil.copy("grey.png", "bundle/grey.png")
    code, _ = native(command, *RUN, "--images", *images, "bundle/grey.png", "--instances", "3", "--save", "new/out")
    assert code == 0
    assert sorted(p.name for p in Path("new/out").iterdir()) == ["a photo.png", "grey-2.png", "grey.png", "image.png"]
    original, drawn = cv2.imread("a photo.jpg"), cv2.imread("new/out/a photo.png")
    assert drawn.shape == original.shape
    assert (drawn != original).any()
    assert (drawn == original).any()


def test_overlay_never_overwrites_a_picture(command: list[str], folder: Path) -> None:
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
