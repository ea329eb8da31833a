"""edge-seg bundle check: what is wrong with a bundle, all of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bundles.made import edit, make_bundle

Bundle = Callable[..., tuple[int, str, str]]


def test_a_sound_bundle(bundle: Bundle, sound: Path) -> None:
    code, out, err = bundle("check", sound)
    assert (code, err) == (0, "")
    assert out.startswith(f"{sound}: sound\n")
    assert "4 files" in out
    assert "detect 1 in, 6 out; mask 7 in, 1 out" in out
    assert "an image of 16x16 with 1 instance" in out


def test_real_bundles_are_sound(bundle: Bundle, tiny_bundles: Path) -> None:
    for folder in sorted(tiny_bundles.iterdir()):
        code, out, _ = bundle("check", folder)
        assert code == 0, out


def test_every_problem_is_named(bundle: Bundle, sound: Path) -> None:
    (sound / "mask.nb").write_bytes(b"other")
    (sound / "golden/image.png").unlink()
    edit(sound, lambda plain: plain["graphs"]["detect"]["inputs"][0].update(dtype="uint8"))
    edit(sound, lambda plain: plain.update(engine="paddle-heavy"))
    code, out, _ = bundle("check", sound)
    assert code == 1
    assert out.startswith(f"{sound}: 4 problems\n")
    for said in ("mask.nb: altered", "image.png: missing", "image uint8[1, 3, 256, 256]", "'paddle-heavy'"):
        assert said in out
    assert "not checked" in out  # the golden result, without its picture
    code, out, err = bundle("check", sound, "--json")
    report = json.loads(out)
    assert (code, err, report["sound"]) == (1, "", False)
    assert [(problem["check"], problem["code"]) for problem in report["problems"]] == [
        ("files", "hash-mismatch"),
        ("files", "file-missing"),
        ("engine", "engine-unknown"),
        ("tensors", "manifest-invalid"),
    ]
    assert report["checks"]["manifest"] is not None
    assert report["checks"]["files"] is None


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        (lambda plain: plain["graphs"].update(more=plain["graphs"]["mask"]), "tensors", "detect, mask, more; expected"),
        (lambda plain: plain.update(engine="onnxruntime"), "engine", "has no .onnx file"),
        (lambda plain: plain["golden"].update(instances=10**15), "golden", "instances: 1000000000000000"),
    ],
)
def test_what_nothing_could_open(
    bundle: Bundle, sound: Path, change: Callable[[Any], object], check: str, said: str
) -> None:
    edit(sound, change)
    code, out, _ = bundle("check", sound, "--json")
    (problem,) = json.loads(out)["problems"]
    assert (code, problem["check"]) == (1, check)
    assert said in problem["message"]


def test_no_bundle(bundle: Bundle, tmp_path: Path) -> None:
    code, out, _ = bundle("check", tmp_path / "nothing", "--json")
    assert code == 1
    assert json.loads(out)["problems"][0]["code"] == "bundle-missing"


GOLDEN: list[tuple[Callable[[Any], object], str]] = [
    (lambda plain: plain.pop("instances"), "not a list of instances"),
    (lambda plain: plain.update(instances=5), "not a list of instances"),
    (lambda plain: plain["instances"][0].pop("box"), "not a list of instances"),
    (lambda plain: plain["instances"][0].update({"class": 10**30}), "not a list of instances"),
    (lambda plain: plain["instances"][0].update({"class": 2}), "classes from 2 to 2, expected 0 to 1"),
    (lambda plain: plain["instances"][0].update({"class": -1}), "classes from -1"),
    (lambda plain: plain["instances"][0].update(box=[1, 2, 3, 4] * 2), "hasn't four numbers"),
    (lambda plain: plain["instances"][0].update(box=[1, 2, 3, 17]), "not within the image"),
    (lambda plain: plain["instances"][0].update(score=1.5), "a score isn't within 0 and 1"),
    (lambda plain: plain["instances"][0]["segmentation"].update(size=[16, 17]), "mask of instance 0"),
    (lambda plain: plain["instances"][0]["segmentation"].update(counts="0"), "mask of instance 0"),
    (lambda plain: plain["instances"][0]["segmentation"].update(counts="~~"), "mask of instance 0"),
    (lambda plain: plain["instances"][0]["segmentation"].update(counts=""), "mask of instance 0"),
]


@pytest.mark.parametrize(("change", "said"), GOLDEN)
def test_a_golden_result_that_is_none(bundle: Bundle, sound: Path, change: Callable[[Any], object], said: str) -> None:
    edit(sound, change, "golden/expected.json")
    code, out, _ = bundle("check", sound)
    assert code == 1
    assert f"{sound}: 1 problem\n" in out
    assert said in out


def test_a_golden_picture_that_is_none(bundle: Bundle, sound: Path) -> None:
    shutil.copy(sound / "golden/expected.json", sound / "golden/image.png")
    edit(
        sound,
        lambda plain: plain["golden"]["files"].update(
            {"golden/image.png": plain["golden"]["files"]["golden/expected.json"]}
        ),
    )
    code, out, _ = bundle("check", sound)
    assert code == 1
    assert "golden/image.png: damaged, or not an image" in out


def test_files_that_do_not_belong_are_told_but_harm_nothing(bundle: Bundle, sound: Path) -> None:
    for number in range(7):
        (sound / f"golden/{number}.txt").touch()
    code, out, _ = bundle("check", sound)
    assert code == 0
    assert "note: golden/0.txt isn't part of the bundle" in out
    assert "and 2 more" in out


def test_many_classes_without_instances(bundle: Bundle, tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b")
    edit(folder, lambda plain: plain["instances"].clear(), "golden/expected.json")
    assert bundle("check", folder)[0] == 0
