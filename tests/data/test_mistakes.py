"""What is no fault of the format and yet likely wrong, or would be dropped in silence: each is named."""

from __future__ import annotations

import base64
import json
import os
import struct
import unicodedata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg.cli import main
from edge_seg.data.check import check
from edge_seg.data.coco import load_splits
from edge_seg.data.findings import Findings
from edge_seg.data.formats.convert import ImportOptions, import_dataset
from edge_seg.errors import DataError
from edge_seg.runtime.image import read_image
from edge_seg.runtime.orientation import turn_upright
from tests.data.test_cases import HEIGHT, SQUARE, WIDTH, Coco, Set, image
from tests.data.test_cases import kinds as kinds_of


def kinds(root: Path) -> dict[str, int]:
    """How often each kind of finding comes up, but for those that small sets always have."""
    return kinds_of(check(root))


def imported(kind: str, place: Path, out: Path) -> dict[str, list[str]]:
    """What an import reports, by kind; it may refuse."""
    findings = Findings()
    try:
        import_dataset(kind, place, out, ImportOptions(), findings=findings)
    except DataError:
        assert findings.of("error")
    told: dict[str, list[str]] = {}
    for finding in findings:
        told.setdefault(finding.kind, []).append(str(finding))
    return told


def test_a_sound_set_has_nothing_to_say(tmp_path: Path) -> None:
    assert kinds(Set(tmp_path).write()) == {}


def test_images_that_no_file_lists(tmp_path: Path) -> None:
    root = Set(tmp_path).write()
    for name in ("images/extra.png", "elsewhere.png"):
        cv2.imwrite(str(root / name), image(30 + len(name)))
    assert kinds(root) == {"image-unlisted": 2}


def test_two_places_for_one_split(tmp_path: Path) -> None:
    root = Set(tmp_path).write()
    (root / "annotations").mkdir()
    (root / "annotations/instances_train2017.json").write_text((root / "train.json").read_text())
    assert kinds(root) == {"layouts": 1}


def test_several_images_in_a_file(tmp_path: Path) -> None:
    made = Set(tmp_path)
    root = made.each(
        lambda entry: entry.update(file_name=entry["file_name"].replace(".jpg", ".tiff")), "images"
    ).write()
    for number in range(1, 7):
        pages = [image(number), image(40 + number)][: 1 + (number == 2)]
        cv2.imwritemulti(str(root / f"images/p{number}.tiff"), pages)
        (root / f"images/p{number}.jpg").unlink()
    assert kinds(root) == {"frames": 1}


@pytest.mark.parametrize(("alpha", "told"), [(255, {}), (254, {"alpha": 1})])
def test_transparent_pixels(alpha: int, told: dict[str, int], tmp_path: Path) -> None:
    made = Set(tmp_path)
    made.files["train"]["images"][0]["file_name"] = "p1.png"
    root = made.write()
    (root / "images/p1.jpg").unlink()
    cv2.imwrite(str(root / "images/p1.png"), np.dstack([image(1), np.full((HEIGHT, WIDTH), alpha, np.uint8)]))
    assert kinds(root) == told


def test_a_part_inside_a_part(tmp_path: Path) -> None:
    made = Set(tmp_path)
    hole = [25, 15, 45, 15, 45, 30, 25, 30]
    made.files["train"]["annotations"][0]["segmentation"] = [list(SQUARE), hole]
    made.files["train"]["annotations"][1]["segmentation"] = [list(SQUARE), [60, 40, 80, 40, 80, 50]]
    made.files["train"]["annotations"][1]["bbox"] = [20, 10, 60, 40]
    assert kinds(made.write()) == {"outline-inside": 1}


def test_outlines_that_are_percentages_lie_in_a_corner(tmp_path: Path) -> None:
    made = Set(tmp_path)
    for file in made.files.values():
        for entry in file["images"]:
            entry.update(width=480, height=320)
        file["annotations"] = [dict(one, id=number) for number, one in enumerate(file["annotations"] * 4)]
        for number, one in enumerate(file["annotations"]):
            one["segmentation"] = [[value + number for value in SQUARE]]
            one["bbox"] = [20 + number, 10 + number, 30, 24]
    made.images = {name: image(n, 480, 320) for n, name in enumerate(made.images)}
    assert kinds(made.write()) == {"outline-corner": 1}  # val has two images, which say nothing


@pytest.mark.parametrize(
    ("bbox", "words"),
    [([10, 20, 24, 30], "x and y exchanged"), ([20, 10, 50, 34], "it holds corners"), ([1, 1, 5, 5], "that of the")],
)
def test_boxes_of_another_order_are_called_that(bbox: list[int], words: str, tmp_path: Path) -> None:
    made = Set(tmp_path)
    made.files["train"]["annotations"][0]["bbox"] = bbox
    (found,) = (f for f in check(made.write()).findings if f.kind == "box")
    assert words in found.text


def test_a_name_twice_in_an_object(tmp_path: Path) -> None:
    root = Set(tmp_path).write()
    file = root / "train.json"
    file.write_text('{"annotations": [], ' + file.read_text()[1:])
    assert kinds(root) == {"key-twice": 1}
    with pytest.raises(DataError, match="'annotations'"):
        load_splits(root)


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ([{"image_id": 1, "category_id": 1, "score": 0.5}], "these are results"),
        ([{"file_name": "p1.jpg", "annotations": [{"bbox_mode": 1}]}], "Detectron2"),
        (
            {"images": [{"id": 1}], "categories": [{"id": 1}], "annotations": [{"segments_info": []}]},
            "panoptic, which has no outlines",
        ),
    ],
)
def test_other_files_of_the_same_world(plain: Any, words: str, tmp_path: Path, capsys: Any) -> None:
    root = Set(tmp_path).write()
    (root / "train.json").write_text(json.dumps(plain))
    assert main(["data", "check", str(root)]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("given", ["train.json", "set.zip"])
def test_a_file_is_no_folder(given: str, tmp_path: Path, capsys: Any) -> None:
    root = Set(tmp_path).write()
    (root / "set.zip").write_bytes(b"PK\x03\x04")
    assert main(["train", "mask_rcnn_tiny_fpn", "--data", str(root / given), "--out", str(tmp_path / "run")]) == 1
    err = capsys.readouterr().err
    assert "no such folder" not in err
    assert ("an archive" if given == "set.zip" else "a file, expected the folder") in err


def test_names_with_blanks_and_accents(tmp_path: Path) -> None:
    made = Set(tmp_path)
    composed = unicodedata.normalize("NFC", "Größe é.jpg")
    made.files["train"]["images"][0]["file_name"] = composed
    made.files["train"]["images"][1]["file_name"] = " p2.jpg "
    root = made.write()
    (root / "images/p1.jpg").rename(root / "images" / unicodedata.normalize("NFD", composed))
    assert kinds(root) == {"image-elsewhere": 2}


def test_a_category_with_a_name_of_a_book(tmp_path: Path) -> None:
    made = Set(tmp_path)
    made.files["train"]["categories"][0]["name"] = "x" * 10_000
    (found,) = (f for f in check(made.write()).findings if f.kind == "entry")
    assert len(found.text) < 200


@pytest.mark.parametrize("content", [b"", b"<html>404", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"])
def test_a_training_refuses_what_is_no_image(content: bytes, tmp_path: Path) -> None:
    root = Set(tmp_path).write()
    (root / "images/p3.jpg").write_bytes(content)
    (root / "images/p5.jpg").write_bytes(content)
    assert kinds(root) == {"image-unreadable": 2}
    with pytest.raises(DataError, match=r"p3\.jpg.*(\n.*)*p5\.jpg"):
        load_splits(root)


def labelme(root: Path, **files: list[Coco]) -> Path:
    root.mkdir(exist_ok=True)
    for number, (stem, shapes) in enumerate(files.items()):
        cv2.imwrite(str(root / f"{stem}.png"), image(number))
        plain = {"shapes": shapes, "imagePath": f"{stem}.png", "imageHeight": HEIGHT, "imageWidth": WIDTH}
        (root / f"{stem}.json").write_text(json.dumps(plain))
    return root


def shape(label: str = "cat", left: int = 0, group: int | None = None) -> Coco:
    points = [[left + x, y] for x, y in ((5, 5), (30, 5), (30, 40))]
    return {"label": label, "points": points, "group_id": group, "shape_type": "polygon"}


def test_labelme_names_all_that_it_leaves_out(tmp_path: Path) -> None:
    root = labelme(tmp_path / "lm", a=[shape(), shape("__ignore__", 20)], b=[shape(group=1), shape(left=40, group=1)])
    cv2.imwrite(str(root / "c.png"), image(9))
    told = imported("labelme", root, tmp_path / "out")
    assert {kind: len(found) for kind, found in told.items()} == {"ignored": 1, "grouped": 1, "image-unannotated": 1}


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    root = labelme(tmp_path / "lm", a=[shape()], b=[shape()])
    (root / "more").symlink_to(labelme(tmp_path / "far", c=[shape()], d=[shape()]))
    (root / "loop").symlink_to(root)
    assert imported("labelme", root, tmp_path / "out") == {}
    held = [json.loads((tmp_path / "out" / f"{split}.json").read_text())["images"] for split in ("train", "val")]
    assert sorted(entry["file_name"] for part in held for entry in part) == ["a.png", "b.png", "c.png", "d.png"]


def test_yolo_names_files_without_a_partner(tmp_path: Path) -> None:
    root = tmp_path / "yolo"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for number, stem in enumerate("abc"):
        cv2.imwrite(str(root / f"images/{stem}.png"), image(number))
    for stem in "abx":
        (root / f"labels/{stem}.txt").write_text("0 0.1 0.1 0.6 0.1 0.6 0.6\n")
    told = imported("yolo", root, tmp_path / "out")
    assert {kind: len(found) for kind, found in told.items()} == {
        "image-background": 1,
        "names-missing": 1,
        "image-missing": 1,
    }


def test_voc_names_objects_of_two_classes_and_images_without_a_mask(tmp_path: Path) -> None:
    root = tmp_path / "voc"
    for folder in ("JPEGImages", "SegmentationObject", "SegmentationClass"):
        (root / folder).mkdir(parents=True)
    for number, stem in enumerate("abc"):
        cv2.imwrite(str(root / f"JPEGImages/{stem}.jpg"), image(number))
    for stem, second in (("a", 8), ("b", 12)):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[10:50, 10:60] = 8
        cv2.imwrite(str(root / f"SegmentationObject/{stem}.png"), np.minimum(mask, 1))
        mask[10:25, 10:60] = second
        cv2.imwrite(str(root / f"SegmentationClass/{stem}.png"), mask)
    told = imported("voc", root, tmp_path / "out")
    assert {kind: len(found) for kind, found in told.items()} == {"classes-mixed": 1, "image-unannotated": 1}
    assert "62% are of 'cat'" in told["classes-mixed"][0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_webp_is_turned_as_every_format_is(orientation: int, tmp_path: Path) -> None:
    """Versions of OpenCV differ in that, so it isn't left to them."""
    upright = image(3, 40, 24)
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 3, 1, orientation) + bytes(4)
    # Turned by OpenCV's own rule for JPEG: what is stored is the image that it brings back.
    backwards = {6: 8, 8: 6}.get(orientation, orientation)
    stored = turn_upright(upright, backwards)
    body = cv2.imencode(".webp", stored, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()[12:]
    size = struct.pack("<I", stored.shape[1] - 1)[:3] + struct.pack("<I", stored.shape[0] - 1)[:3]
    chunks = b"VP8X" + struct.pack("<IBxxx", 10, 8) + size + body + b"EXIF" + struct.pack("<I", len(tiff)) + tiff
    file = tmp_path / "turned.webp"
    file.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks)
    np.testing.assert_array_equal(read_image(file), upright)
    jpeg = cv2.imencode(".jpg", stored)[1].tobytes()
    exif = b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(tiff)) + b"Exif\0\0" + tiff
    (tmp_path / "turned.jpg").write_bytes(jpeg[:2] + exif + jpeg[2:])
    plain = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.jpg"), turn_upright(plain, orientation))


def test_one_image_with_two_entries_of_another_tool(tmp_path: Path) -> None:
    shapes = '<polygon label="cat" points="4,4;40,6;30,50"/>', '<polygon label="cat" points="50,4;80,6;70,50"/>'
    entries = "".join(
        f'<image id="{n}" name="{name}" width="96" height="64">{shapes[n % 2]}</image>'
        for n, name in enumerate(("a.png", "a.png", "b.png"))
    )
    for number, name in enumerate(("a.png", "b.png")):
        cv2.imwrite(str(tmp_path / name), image(number))
    (tmp_path / "annotations.xml").write_text(f"<annotations>{entries}</annotations>")
    assert set(imported("cvat", tmp_path, tmp_path / "out")) == {"image-twice"}
    held = [json.loads((tmp_path / "out" / f"{split}.json").read_text()) for split in ("train", "val")]
    assert sorted(len(part["annotations"]) for part in held) == [1, 2]


def test_labels_that_stand_apart_from_their_regions(tmp_path: Path) -> None:
    region = {"points": [[10, 10], [60, 10], [50, 70]]}
    tasks = []
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image(number))
        results = [
            {"id": "r", "type": "polygon", "value": region, "image_rotation": 90 * (number - 1)},
            {"id": "r", "type": "labels", "value": {**region, "labels": ["cat", "dog"][:number]}},
        ]
        tasks.append({"id": number, "data": {"image": f"{number}.png"}, "annotations": [{"result": results}]})
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    assert imported("labelstudio", tmp_path / "export.json", tmp_path / "out").keys() == {"turned-view"}
    assert json.loads((tmp_path / "out/train.json").read_text())["categories"][0]["name"] == "cat"


@pytest.mark.parametrize(
    ("points", "found"),
    [
        ([[20, 10], [40, 30]], [20, 10, 20, 20]),
        ([[40, 30], [20, 10]], [20, 10, 20, 20]),
        ([[20, 10], [40, 30], [20, 30], [40, 10]], [20, 10, 20, 20]),
        ([[20, 10], [40, 30], [20, 30]], None),
    ],
)
def test_labelmes_rectangles(points: list[list[int]], found: list[int] | None, tmp_path: Path) -> None:
    one = {"label": "cat", "points": points, "shape_type": "rectangle"}
    root = labelme(tmp_path / "lm", a=[one], b=[one])
    told = imported("labelme", root, tmp_path / "out")
    assert ("outline" in told) == (found is None)
    if found:
        (annotation,) = json.loads((tmp_path / "out/train.json").read_text())["annotations"]
        assert (annotation["bbox"], annotation["area"]) == (found, 400)


@pytest.mark.parametrize(("noise", "told"), [(0, False), (3, False), (200, True)])
def test_another_image_in_the_file_than_beside_it(noise: int, told: bool, tmp_path: Path) -> None:
    root = labelme(tmp_path / "lm", a=[shape()], b=[shape()])
    other = np.clip(
        image(0).astype(int) + np.random.default_rng(5).integers(-noise, noise + 1, (HEIGHT, WIDTH, 3)), 0, 255
    )
    plain = json.loads((root / "a.json").read_text())
    plain["imageData"] = base64.b64encode(cv2.imencode(".png", other.astype(np.uint8))[1].tobytes()).decode()
    (root / "a.json").write_text(json.dumps(plain))
    assert ("image-data" in imported("labelme", root, tmp_path / "out")) == told


def test_a_division_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    root = tmp_path / "yolo"
    for stem in "abcd":
        for folder in ("images/train", "labels/train"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / f"images/train/{stem}.png"), image(ord(stem)))
        (root / f"labels/train/{stem}.txt").write_text("0 0.1 0.1 0.6 0.1 0.6 0.6\n")
    settings = root / "data.yaml"
    settings.write_text("names: [cat, dog]\ntrain: images/train\nval: images/train\n")
    told = imported("yolo", root, tmp_path / "out")
    assert set(told) == {"both-splits", "split-anew"}
    settings.write_text("names: [cat, cat]\ntrain: images/train\n")
    assert "names-twice" in imported("yolo", root, tmp_path / "out2")
    settings.write_text("a: &a [x, x]\nnames: [*a, *a]\n")
    with pytest.raises(DataError, match="names: expected words"):
        import_dataset("yolo", root, tmp_path / "out3", ImportOptions())


def test_a_pipe_is_waited_for_by_nobody(tmp_path: Path) -> None:
    root = Set(tmp_path).write()
    (root / "train.json").unlink()
    os.mkfifo(root / "train.json")
    with pytest.raises(DataError, match=r"train\.json: a folder, a pipe or a device"):
        load_splits(root)
    (root / "train.json").unlink()
    (root / "train.json").symlink_to("nowhere.json")
    with pytest.raises(DataError, match="a link that leads nowhere"):
        load_splits(root)
    root = Set(tmp_path / "other").write()
    (root / "images/p1.jpg").unlink()
    os.mkfifo(root / "images/p1.jpg")
    (root / "images/p2.jpg").unlink()
    (root / "images/p2.jpg").symlink_to("p2.jpg")
    assert kinds(root) == {"image-missing": 2, "left-with": 2}


def test_all_faults_come_in_one_run_and_none_that_only_follows(tmp_path: Path) -> None:
    made = Set(tmp_path)
    train = made.files["train"]
    train["categories"][0]["name"] = None
    train["images"][0]["file_name"] = 7
    train["images"][1]["width"] = "wide"
    train["annotations"][2]["segmentation"] = [[1, 2, 3]]
    train["annotations"][3] |= {"iscrowd": "x", "segmentation": None}
    found = kinds(made.write())
    assert found == {"entry": 4, "left-with": 5, "outline": 1, "no-outline": 1}
