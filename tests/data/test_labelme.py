"""labelme folders become COCO datasets; what can't is named."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg.data.check import check
from edge_seg.data.coco import decode, load_splits
from edge_seg.data.findings import Findings
from edge_seg.data.formats.convert import ImportOptions, import_dataset
from edge_seg.errors import DataError, UsageError

WIDTH, HEIGHT = 80, 60


def convert(
    folder: Path, out: Path, *, val_fraction: float | None = None, findings: Findings | None = None, **options: Any
) -> dict[str, Any]:
    return import_dataset("labelme", folder, out, ImportOptions(val=val_fraction, **options), findings=findings)


Shape = dict[str, Any]


def shape(points: list[list[float]], label: str = "cat", kind: str = "polygon", **more: Any) -> Shape:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}, **more}


def png(pixels: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()


TRIANGLE = shape([[10, 10], [40, 10], [10, 40]])


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """``save(name, shape…)`` writes ``annotated/NAME.json`` and its image; returns the JSON file."""

    def save(name: str, *shapes: Any, **changes: Any) -> Path:
        file = tmp_path / f"annotated/{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file.with_suffix(".png")), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
        plain: dict[str, Any] = {"version": "5.4.1", "flags": {}, "shapes": list(shapes)}
        plain |= {
            "imagePath": file.stem + ".png",
            "imageData": None,
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
            **changes,
        }
        file.write_text(json.dumps(plain))
        return file

    return save


def masks(folder: Path) -> dict[str, list[np.ndarray]]:
    """File name → masks, of both splits."""
    return {
        record.path.name: [decode(a.segmentation, record.height, record.width) for a in record.annotations]
        for split in load_splits(folder)
        for record in split.images
    }


def test_a_folder_becomes_a_dataset_without_anything_odd(save: Callable[..., Path], tmp_path: Path) -> None:
    for number in range(10):
        save(f"{number}", TRIANGLE, shape([[50, 50], [70, 20]], "dog", "rectangle"))
    save("nothing")
    counts = convert(tmp_path / "annotated", tmp_path / "set", val_fraction=0.3)
    assert counts["train"]["images"] == 8
    assert counts["val"]["images"] == 3
    assert counts["classes"] == ["cat", "dog"]
    report = check(tmp_path / "set")
    # The images of this test are all alike.
    assert {f.kind for f in report.findings} <= {"same-pixels", "both-splits", "few"}
    assert sum(split.as_json()["instances"] for split in report.splits.values()) == 20


def test_every_shape_with_an_area(save: Callable[..., Path], tmp_path: Path) -> None:
    stamp = np.zeros((12, 20), np.uint8)
    stamp[3:, 5:] = 255
    save("polygon", TRIANGLE)
    save("rectangle", shape([[50, 50], [70, 20]], kind="rectangle"))
    save("circle", shape([[40, 30], [50, 30]], kind="circle"))
    save("mask", shape([[30, 20], [50, 32]], kind="mask", mask=png(stamp)))
    convert(tmp_path / "annotated", tmp_path / "set")
    found = masks(tmp_path / "set")
    assert abs(found["polygon.png"][0].sum() - 450) < 40
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[20:50, 50:70] = 1
    np.testing.assert_array_equal(found["rectangle.png"][0], expected)
    assert abs(found["circle.png"][0].sum() - np.pi * 100) < 10
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[23:32, 35:50] = 1
    np.testing.assert_array_equal(found["mask.png"][0], expected)


def test_parts_of_a_group_are_one_object(save: Callable[..., Path], tmp_path: Path) -> None:
    other = shape([[50, 50], [70, 20]], kind="rectangle")
    stamp = shape([[60, 0], [70, 9]], kind="mask", mask=png(np.full((10, 11), 255, np.uint8)))
    save("apart", TRIANGLE, other)
    save("joined", {**TRIANGLE, "group_id": 1}, {**other, "group_id": 1}, {**other, "group_id": 1, "label": "dog"})
    save("mixed", {**TRIANGLE, "group_id": 1}, {**stamp, "group_id": 1})
    convert(tmp_path / "annotated", tmp_path / "set")
    found = masks(tmp_path / "set")
    apart = found["apart.png"]
    assert len(apart) == 2
    assert len(found["joined.png"]) == 2
    np.testing.assert_array_equal(found["joined.png"][0], apart[0] | apart[1])
    assert found["mixed.png"][0].sum() == apart[0].sum() + 110


def test_images_are_found_or_taken_from_the_file(save: Callable[..., Path], tmp_path: Path) -> None:
    save("windows", TRIANGLE, imagePath="..\\photos\\windows.png")
    save("a/same", TRIANGLE)
    save("b/same", TRIANGLE)
    inside = save("inside", TRIANGLE, imageData=png(np.zeros((HEIGHT, WIDTH, 3), np.uint8)))
    inside.with_suffix(".png").unlink()
    convert(tmp_path / "annotated", tmp_path / "set")
    assert set(masks(tmp_path / "set")) == {"windows.png", "a_same.png", "b_same.png", "inside.png"}


def test_what_is_outside_is_cut_off(save: Callable[..., Path], tmp_path: Path) -> None:
    save("1", shape([[-80, 30], [80, 0], [80, 60]]))
    stamp = np.full((10, 21), 255, np.uint8)
    save("2", shape([[75, 1], [95, 9]], kind="mask", mask=png(stamp)))
    found = Findings()
    convert(tmp_path / "annotated", tmp_path / "set", findings=found)
    (triangle,), (mask,) = (masks(tmp_path / "set")[name] for name in ("1.png", "2.png"))
    assert triangle.sum() == pytest.approx(3600, abs=40)
    assert mask.sum() == 50
    assert [f.kind for f in found] == ["outline-cut", "outline-cut"]


def test_shapes_without_an_area_are_left_out_and_counted(save: Callable[..., Path], tmp_path: Path) -> None:
    save("1", TRIANGLE, shape([[1, 1]], "kp", "point"), shape([[1, 1], [9, 9]], "edge", "line"))
    save("2", TRIANGLE)
    found = Findings()
    assert convert(tmp_path / "annotated", tmp_path / "set", findings=found)["classes"] == ["cat"]
    assert [(f.kind, f.subject) for f in found] == [("no-area", "shapes[1] (kp)"), ("no-area", "shapes[2] (edge)")]


@pytest.mark.parametrize("group", ["1", 1.0, 1])
def test_group_ids_as_text_or_float(save: Callable[..., Path], tmp_path: Path, group: Any) -> None:
    other = shape([[50, 50], [70, 20]], kind="rectangle")
    save("1", {**TRIANGLE, "group_id": group}, {**other, "group_id": group})
    save("2", TRIANGLE)
    convert(tmp_path / "annotated", tmp_path / "set")
    assert len(masks(tmp_path / "set")["1.png"]) == 1


@pytest.mark.parametrize("kind", ["rotation", "oriented_rectangle"])
def test_rotated_rectangles_are_polygons(save: Callable[..., Path], tmp_path: Path, kind: str) -> None:
    save("1", shape([[30, 5], [55, 20], [45, 35], [20, 20]], kind=kind))
    save("2", TRIANGLE)
    convert(tmp_path / "annotated", tmp_path / "set")
    assert masks(tmp_path / "set")["1.png"][0].sum() == pytest.approx(525, abs=15)


def test_files_that_only_look_like_annotations(save: Callable[..., Path], tmp_path: Path) -> None:
    first = save("a", TRIANGLE)
    save("z", TRIANGLE).rename(tmp_path / "annotated/z.JSON")
    (first.parent / "._a.json").write_bytes(b"\x00\x05\x16\x07")
    for place in (".ipynb_checkpoints/a-checkpoint.json", "__MACOSX/a.json"):
        (first.parent / place).parent.mkdir()
        (first.parent / place).write_bytes(first.read_bytes())
    (first.parent / "classes.json").write_text('{"names": []}')
    found = Findings()
    counts = convert(tmp_path / "annotated", tmp_path / "set", findings=found)
    assert [counts[split]["images"] for split in ("train", "val")] == [1, 1]
    assert [f.kind for f in found] == ["not-annotated"]


def test_one_image_with_two_files(save: Callable[..., Path], tmp_path: Path) -> None:
    first = save("a", TRIANGLE)
    save("z", TRIANGLE)
    copy = first.with_name("a_copy.json")
    copy.write_bytes(first.read_bytes())
    found = Findings()
    counts = convert(tmp_path / "annotated", tmp_path / "set", findings=found)
    assert counts["train"]["images"] + counts["val"]["images"] == 2
    assert [(f.kind, Path(f.file).name) for f in found] == [("duplicate", "a_copy.json")]
    other = json.loads(first.read_text())
    other["shapes"] = []
    first.rename(first.with_name("a_1.json"))
    copy.write_text(json.dumps(other))
    with pytest.raises(DataError, match=r"a_1\.json, a_copy\.json are all for a\.png"):
        convert(tmp_path / "annotated", tmp_path / "other")


def test_a_renamed_pair(save: Callable[..., Path], tmp_path: Path) -> None:
    save("a", TRIANGLE, imagePath="IMG_0001.jpg")
    save("z", TRIANGLE)
    found = Findings()
    convert(tmp_path / "annotated", tmp_path / "set", findings=found)
    assert "a.png" in masks(tmp_path / "set")
    assert [f.kind for f in found] == ["image-elsewhere"]


def test_holes_are_cut_out(save: Callable[..., Path], tmp_path: Path) -> None:
    outer = shape([[10, 10], [50, 50]], kind="rectangle")
    inner = shape([[20, 20], [30, 30]], "__hole__", "rectangle")
    save("1", outer, shape([[0, 0], [79, 59]], "dog", "rectangle"), inner)
    save("2", {**outer, "group_id": 4}, {**inner, "group_id": 4})
    found = Findings()
    convert(tmp_path / "annotated", tmp_path / "set", findings=found)
    assert [f.kind for f in found] == ["hole", "hole"]
    both = masks(tmp_path / "set")
    assert sorted(int(mask.sum()) for mask in both["1.png"]) == [1500, 79 * 59]
    assert [int(mask.sum()) for mask in both["2.png"]] == [1500]


def test_all_faults_of_all_files_in_one_run(save: Callable[..., Path], tmp_path: Path) -> None:
    save("a", shape([[1, 1]], "kp", "point"))
    save("b", shape([[1, 1], [5, 5]]), shape([[1, 1], [5, 5], [1, 5]], kind="cuboid"))
    save("c", shape([[120, 80], [140, 80], [140, 90]]))
    save("d", TRIANGLE, imageWidth=HEIGHT, imageHeight=WIDTH)
    save("e", shape([[1, 1], [5, 5]])).with_suffix(".png").unlink()
    save("f", TRIANGLE)
    found = Findings()
    with pytest.raises(DataError) as caught:
        convert(tmp_path / "annotated", tmp_path / "set", findings=found)
    for name in (
        "b.json: shapes[0]",
        "b.json: shapes[1]",
        "c.json",
        "d.json",
        "e.json: shapes[0]",
        "e.json: imagePath",
    ):
        assert name in caught.value.message
    assert [Path(f.file).name for f in found if f.kind == "no-area"] == ["a.json"]
    assert not (tmp_path / "set").exists()
    counts = convert(tmp_path / "annotated", tmp_path / "set", skip_invalid=True)
    assert counts["train"]["images"] + counts["val"]["images"] == 4
    log = [json.loads(line) for line in (tmp_path / "set/changes.jsonl").read_text().splitlines()]
    assert len(log) == len([f for f in found if f.severity != "note"])


def test_the_same_seed_splits_the_same_way(save: Callable[..., Path], tmp_path: Path) -> None:
    for number in range(12):
        save(f"{number:02}", TRIANGLE)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        convert(tmp_path / "annotated", tmp_path / name, seed=seed)
    a, b, c = ((tmp_path / name / "val.json").read_bytes() for name in "abc")
    assert a == b != c


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "two points": ({"shapes": [shape([[1, 1], [9, 9]])]}, "at least 3"),
    "no area": ({"shapes": [shape([[1, 1], [1, 9], [1, 20]])]}, "area"),
    "far outside": ({"shapes": [shape([[500, 1], [600, 1], [550, 9]])]}, "80 x 60"),
    "points as text": ({"shapes": [shape([["1", 1], [1, 9], [1, 20]])]}, r"shapes\[0\]"),  # type: ignore[list-item]
    "no label": ({"shapes": [{**TRIANGLE, "label": ""}]}, "label"),
    "shape is text": ({"shapes": ["cat"]}, "label"),
    "mask without data": ({"shapes": [shape([[1, 1], [9, 9]], kind="mask")]}, "mask"),
    "mask damaged": ({"shapes": [shape([[1, 1], [9, 9]], kind="mask", mask="AAAA")]}, "damaged"),
    "other size": ({"imageWidth": 81}, "80 x 60"),
    "bad base64": ({"imagePath": "gone.png", "imageData": "?!"}, "base64"),
    "not labelme": ({"shapes": 5}, "not a labelme file"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_converted_is_named(save: Callable[..., Path], tmp_path: Path, case: str) -> None:
    changes, word = BROKEN[case]
    save("good", TRIANGLE)
    save("wrong", **{"shapes": [TRIANGLE], **changes})
    with pytest.raises(DataError, match=rf"wrong\.json: .*{word}"):
        convert(tmp_path / "annotated", tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_labels_can_be_fixed(save: Callable[..., Path], tmp_path: Path) -> None:
    save("1", TRIANGLE)
    save("2", {**TRIANGLE, "label": "ct"}, {**TRIANGLE, "label": "__ignore__"})
    with pytest.raises(DataError, match=r"2\.json: shapes\[0\] \(ct\): label: expected one of dog, cat, found 'ct'"):
        convert(tmp_path / "annotated", tmp_path / "set", classes=["dog", "cat"])
    assert convert(tmp_path / "annotated", tmp_path / "set", classes=["ct", "cat"])["classes"] == ["ct", "cat"]
    with pytest.raises(UsageError, match="a class is named twice"):
        convert(tmp_path / "annotated", tmp_path / "twice", classes=["ct", "cat", "ct"])


def test_too_little_is_refused(save: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        convert(tmp_path / "none", tmp_path / "set")
    save("1")
    with pytest.raises(DataError, match="no file has a shape"):
        convert(tmp_path / "annotated", tmp_path / "set")
    save("1", TRIANGLE)
    with pytest.raises(DataError, match="at least 2"):
        convert(tmp_path / "annotated", tmp_path / "set")
    with pytest.raises(UsageError, match="fraction"):
        convert(tmp_path / "annotated", tmp_path / "set", val_fraction=0.0)


def test_command(edge_seg: Callable[..., Any], save: Callable[..., Path], tmp_path: Path) -> None:
    for number in range(3):
        save(f"{number}", TRIANGLE)
    done = edge_seg("data", "labelme", "annotated", "set", "--classes", "dog, cat", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["classes"] == ["dog", "cat"]
    again = edge_seg("data", "labelme", "annotated", "set")
    assert again.returncode == 2
    assert "Traceback" not in again.stderr
