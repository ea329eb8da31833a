"""Data sets as people have them: the shapes of public reports, each with what is right.

Every case is 96 x 64 images p1 … p6 with a square in each, four to train on and two to validate on, changed in one way.
"""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg.data.check import Report, check
from edge_seg.data.coco import ReadOptions, load_splits
from edge_seg.data.fix import write_fixed
from edge_seg.data.left import before_training, fitted
from edge_seg.errors import DataError

Coco = dict[str, Any]
WIDTH, HEIGHT = 96, 64
SQUARE = [20, 10, 50, 10, 50, 34, 20, 34]
BOX = [20, 10, 30, 24]


def image(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def coco(numbers: range) -> Coco:
    return {
        "images": [{"id": n, "file_name": f"p{n}.jpg", "width": WIDTH, "height": HEIGHT} for n in numbers],
        "annotations": [
            {
                "id": n,
                "image_id": n,
                "category_id": 1,
                "bbox": list(BOX),
                "area": 720,
                "iscrowd": 0,
                "segmentation": [list(SQUARE)],
            }
            for n in numbers
        ],
        "categories": [{"id": 1, "name": "red"}],
    }


class Set:
    """A data set under construction."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = {"train": coco(range(1, 5)), "val": coco(range(5, 7))}
        self.images = {f"p{n}.jpg": image(n) for n in range(1, 7)}

    def each(self, change: Callable[[Coco], Any], part: str = "annotations") -> Set:
        """Changes every entry of both files."""
        for file in self.files.values():
            for entry in file[part]:
                change(entry)
        return self

    def write(
        self,
        annotations: str = "{split}.json",
        images: str = "images",
        names: dict[str, str] | None = None,
        encoding: str = "utf-8",
    ) -> Path:
        for split, file in self.files.items():
            name = (names or {}).get(split, split)
            path = self.root / annotations.format(split=name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(file), encoding=encoding)
            own = ("p5.jpg", "p6.jpg") if split == "val" else ("p1.jpg", "p2.jpg", "p3.jpg", "p4.jpg")
            for file_name, pixels in self.images.items():
                if "{split}" not in images or file_name in own:
                    target = self.root / images.format(split=name) / file_name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(target), pixels)
        return self.root


@pytest.fixture
def given(tmp_path: Path) -> Set:
    return Set(tmp_path / "set")


def kinds(report: Report) -> dict[str, int]:
    """How often each kind was found; that classes have few objects is so in all cases."""
    found: dict[str, int] = {}
    for finding in report.findings:
        if finding.kind != "few":
            found[finding.kind] = found.get(finding.kind, 0) + 1
    return found


def trained_on(root: Path) -> int:
    """How many objects a training would have."""
    train, _ = load_splits(root)
    return sum(not a.crowd for record in train.images for a in record.annotations)


def good(root: Path) -> None:
    """Nothing but what the case is about went wrong: four squares to train on, two to validate on."""
    train, val = load_splits(root)
    assert [len(train), len(val)] == [4, 2]
    for dataset in (train, val):
        for record in dataset.images:
            assert [a.box for a in record.annotations] == [(20.0, 10.0, 50.0, 34.0)]
            assert record.annotations[0].area == 720


def test_nothing_wrong(given: Set) -> None:
    root = given.write()
    assert kinds(check(root)) == {}
    good(root)


def test_all_crowd(given: Set) -> None:
    root = given.each(lambda a: a.update(iscrowd=1)).write()
    report = check(root)
    assert not report.ok
    assert set(kinds(report)) == {"nothing-left", "crowd", "val-empty"}
    with pytest.raises(DataError, match="nothing to train on: .*4 are crowds"):
        before_training(*load_splits(root), fitted((320, 320)), (320, 320))


@pytest.mark.parametrize(
    "name",
    [
        "images\\{}",
        "..\\..\\label-studio\\media\\upload\\4\\{}",
        "http://localhost:8080/data/upload/1/{}",
        "/data/local-files/?d=photos/{}",
        "C:\\Users\\me\\Desktop\\{}",
        "D:/photos/../set/{}",
        "3f8a2b1c-{}",
    ],
)
def test_names_from_other_machines(given: Set, name: str) -> None:
    root = given.each(lambda i: i.update(file_name=name.format(i["file_name"])), "images").write()
    assert kinds(check(root)) == {"image-elsewhere": 6}
    good(root)


@pytest.mark.parametrize("ending", [".JPG", ".png", ".jpeg"])
def test_another_case_or_ending(given: Set, ending: str) -> None:
    root = given.each(lambda i: i.update(file_name=i["file_name"].replace(".jpg", ending)), "images").write()
    assert kinds(check(root)) == {"image-elsewhere": 6}
    good(root)


def test_a_name_of_two_files_is_refused(given: Set) -> None:
    given.images["other/p1.jpg"] = image(9)
    given.files["train"]["images"][0]["file_name"] = "C:\\elsewhere\\P1.jpg"
    root = given.write(images="photos")
    for place in ("photos", "photos/other"):
        assert (root / place / "p1.jpg").is_file()
    assert kinds(check(root))["image-ambiguous"] == 1


def test_two_names_that_would_be_one_file_are_refused(given: Set) -> None:
    given.files["train"]["images"][0]["file_name"] = "a/p1.jpg"
    given.files["train"]["images"][1]["file_name"] = "b/p1.jpg"
    assert kinds(check(given.write())) == {"image-elsewhere": 2, "image-ambiguous": 1, "image-unlisted": 1}


def test_a_missing_image_is_named_with_the_nearest(given: Set) -> None:
    given.files["train"]["images"][0]["file_name"] = "pp1.jpg"
    given.files["train"]["images"][1]["file_name"] = "x.jpg"
    problems = check(given.write()).problems
    assert len(problems) == 2
    assert "'pp1.jpg'" in problems[0]
    assert "nearest name is 'p1.jpg'" in problems[0]


def test_byte_order_mark(given: Set) -> None:
    root = given.write(encoding="utf-8-sig")
    assert kinds(check(root)) == {}
    good(root)


def test_boxes_of_zeros(given: Set) -> None:
    root = given.each(lambda a: a.update(bbox=[0, 0, 0, 0], area=0)).write()
    assert kinds(check(root)) == {"box": 6, "area": 6}
    good(root)
    lines = before_training(*load_splits(root), fitted((320, 320)), (320, 320))
    assert "to train on: 4 red" in lines[-1]
    assert any("taken from the outline (6)" in line for line in lines)


def test_no_box(given: Set) -> None:
    root = given.each(lambda a: a.pop("bbox")).write()
    assert kinds(check(root)) == {"box": 6}
    good(root)


def test_four_faults(given: Set) -> None:
    first, second, third, fourth = given.files["train"]["annotations"]
    first["bbox"] = None
    second["category_id"] = 9
    third["segmentation"] = []
    fourth["image_id"] = 99
    report = check(given.write())
    assert kinds(report) == {"box": 1, "category-unknown": 1, "no-outline": 1, "image-unknown": 1}
    assert [f"annotation {n}" in str(list(report.findings)) for n in (1, 2, 3, 4)] == [True] * 4


def test_an_entry_for_each_object(given: Set) -> None:
    for n, (entry, one) in enumerate(
        zip(given.files["train"]["images"], given.files["train"]["annotations"], strict=True)
    ):
        entry["file_name"] = "p1.jpg"
        x = 10 + 18 * n
        one |= {"segmentation": [[x, 10, x + 12, 10, x + 12, 30, x, 30]], "bbox": [x, 10, 12, 20], "area": 240}
    root = given.write()
    report = check(root)
    assert kinds(report) == {"image-twice": 1, "image-unlisted": 3}
    assert len(report.splits["train"].dataset) == 1
    assert trained_on(root) == 4


@pytest.mark.parametrize("with_box", [True, False])
def test_parts_of_the_size(given: Set, with_box: bool) -> None:
    def normalise(one: Coco) -> None:
        one["segmentation"] = [[v / (WIDTH, HEIGHT)[n % 2] for n, v in enumerate(SQUARE)]]
        if not with_box:
            one["bbox"] = [0.2, 0.15, 0.3, 0.4]

    root = given.each(normalise).write()
    if with_box:  # it proves what the values are
        assert kinds(check(root)) == {"outline-scaled": 6}
        good(root)
        return
    assert kinds(check(root))["outline-normalised"] == 6
    fixed = root.with_name("fixed")
    write_fixed(check(root, options=ReadOptions(scale_normalised=True)), fixed)
    good(fixed)


def test_a_normalised_outline_that_its_box_contradicts_is_refused(given: Set) -> None:
    root = given.each(lambda one: one.update(segmentation=[[v / WIDTH for v in SQUARE]])).write()
    for options in (ReadOptions(), ReadOptions(scale_normalised=True)):
        assert kinds(check(root, options=options))["outline-normalised"] == 6


def test_a_root_category(given: Set) -> None:
    for file in given.files.values():
        file["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})
    report = check(given.write())
    assert kinds(report) == {"category-empty": 1}
    assert "'things'" in report.warnings[0]


def test_one_name_for_two_categories(given: Set) -> None:
    for file in given.files.values():
        file["categories"].append({"id": 2, "name": "red"})
    given.files["train"]["annotations"][0]["category_id"] = 2
    assert kinds(check(given.write())) == {"category-names": 2}


def test_ids_as_text(given: Set) -> None:
    def to_text(entry: Coco) -> None:
        entry |= {key: str(entry[key]) for key in ("id", "image_id", "category_id") if key in entry}

    for part in ("images", "annotations", "categories"):
        given.each(to_text, part)
    root = given.write()
    assert kinds(check(root)) == {}
    good(root)


def test_ids_as_words(given: Set) -> None:
    given.each(lambda a: a.update(id=f"a{a['id']}", image_id=f"p{a['image_id']}"))
    given.each(lambda i: i.update(id=f"p{i['id']}"), "images")
    root = given.write()
    good(root)
    assert set(kinds(check(root))) == {"new-ids"}


@pytest.mark.parametrize("size", [(64, 64), (320, 320)])
def test_objects_too_small_for_the_size(tmp_path: Path, size: tuple[int, int]) -> None:
    given = Set(tmp_path / "set")
    given.images = {name: cv2.resize(pixels, (1200, 800)) for name, pixels in given.images.items()}
    given.each(lambda i: i.update(width=1200, height=800), "images")
    given.each(lambda a: a.update(segmentation=[[5, 5, 8, 5, 8, 8, 5, 8]], bbox=[5, 5, 3, 3], area=9))
    root = given.write()
    report = check(root, size=size)
    assert kinds(report) == {"vanish": 2, "nothing-left": 1}
    assert report.splits["train"].left.under[1] == 4
    with pytest.raises(DataError, match="4 vanish at"):
        before_training(*load_splits(root), fitted(size), size)
    assert check(root, size=(640, 640)).ok


def test_val_lists_fewer_categories(given: Set) -> None:
    given.files["train"]["categories"].append({"id": 2, "name": "blue"})
    root = given.write()
    assert kinds(check(root)) == {"category-empty": 1}
    assert load_splits(root)[1].classes == ("red", "blue")


LAYOUTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "PaddleX": ("annotations/instance_{split}.json", "images", {}),
    "CVAT": ("annotations/instances_{split}.json", "images/{split}", {}),
    "CVAT, flat": ("annotations/instances_{split}.json", "images", {}),
    "CVAT, validation": ("annotations/instances_{split}.json", "images/{split}", {"val": "validation"}),
    "COCO 2017": ("annotations/instances_{split}2017.json", "{split}2017", {}),
    "COCO 2014": ("annotations/instances_{split}2014.json", "{split}2014", {}),
    "Roboflow": ("{split}/_annotations.coco.json", "{split}", {"val": "valid"}),
    "one folder a split": ("{split}/annotations.json", "{split}/images", {}),
    "edge-seg": ("{split}.json", "{split}", {}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(given: Set, layout: str) -> None:
    annotations, images, names = LAYOUTS[layout]
    root = given.write(annotations, images, names)
    report = check(root)
    assert kinds(report) == {}
    assert {split.layout for split in report.splits.values()} == {layout.split(",")[0]}
    good(root)


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("annotations/instances_default.json", "images/default"),  # CVAT
        ("result.json", "images"),  # Label Studio's COCO export
        ("anything.json", "."),
    ],
)
def test_one_file_is_to_be_divided(given: Set, file: str, images: str, edge_seg: Callable[..., Any]) -> None:
    given.files = {"train": coco(range(1, 7))}
    root = given.write(file, images)
    done = edge_seg("data", "check", root)
    assert done.returncode == 1
    assert "data split" in done.stderr
    for place, out in ((root, "from-folder"), (root / file, "from-file")):
        done = edge_seg("data", "split", place, root.with_name(out), "--val", 0.34)
        assert done.returncode == 0, done.stderr
        good(root.with_name(out))


def exif(jpeg: Path, orientation: int) -> None:
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0) + bytes(4)
    segment = b"Exif\0\0" + tiff
    content = jpeg.read_bytes()
    jpeg.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + content[2:])


def bright(root: Path) -> list[float]:
    """The mean brightness under each mask, of images that are white where the object is."""
    from edge_seg.data.outline import decode
    from edge_seg.runtime.image import read_image

    found = []
    for dataset in load_splits(root):
        for record in dataset.images:
            pixels = read_image(record.path)
            assert pixels.shape[:2] == (record.height, record.width)
            mask = decode(record.annotations[0].segmentation, record.height, record.width) > 0
            found.append(float(pixels[mask].mean()) - float(pixels[~mask].mean()))
    return found


def turned_set(given: Set, orientation: int, drawn: str, form: str = "polygon") -> Path:
    """Images that EXIF turns, white where the object is; annotated ``drawn`` "upright" or "unturned"."""
    from edge_seg.data.outline import encode, turn_mask, turn_point

    stored = np.zeros((HEIGHT, WIDTH), np.uint8)
    stored[10:34, 20:50] = 255
    given.images = {name: np.repeat(stored[:, :, None], 3, axis=2) for name in given.images}
    mask = stored // 255
    if drawn == "upright":
        corners = list(zip(SQUARE[::2], SQUARE[1::2], strict=True))
        points = [turn_point(x, y, orientation, WIDTH, HEIGHT) for x, y in corners]
        polygon = [v for point in points for v in point]
        mask = turn_mask(mask, orientation)
        given.each(lambda a: a.update(segmentation=[polygon], bbox=None))
    if form == "run lengths":
        given.each(lambda a: a.update(segmentation=encode(mask), bbox=None))
    root = given.write()
    for n in range(1, 7):
        exif(root / f"images/p{n}.jpg", orientation)
    return root


@pytest.mark.parametrize("form", ["polygon", "run lengths"])
@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_annotated_on_the_unturned_image(given: Set, orientation: int, form: str) -> None:
    root = turned_set(given, orientation, "unturned", form)
    expected = "exif-unclear" if orientation < 5 else "exif-size"
    found = kinds(check(root))
    assert found[expected] == 6
    fixed = root.with_name("fixed")
    write_fixed(check(root, options=ReadOptions(exif="ignore")), fixed)
    assert min(bright(fixed)) > 200
    assert not {"exif-size", "image-size"} & set(kinds(check(fixed)))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_annotated_upright_with_the_sizes_of_the_unturned_image(given: Set, orientation: int) -> None:
    root = turned_set(given, orientation, "upright")
    found = kinds(check(root))
    assert found["exif-unclear" if orientation < 5 else "exif-size"] == 6
    if orientation >= 5:
        assert found["exif-evidence"] == 2
    fixed = root.with_name("fixed")
    write_fixed(check(root, options=ReadOptions(exif="apply")), fixed)
    assert min(bright(fixed)) > 200


def test_outlines_that_fit_one_way_only_are_evidence(given: Set) -> None:
    low = [[10, 70, 40, 70, 40, 90, 10, 90]]  # in the upright image, 64 x 96, not in the stored one, 96 x 64
    root = turned_set(given.each(lambda a: a.update(segmentation=low, bbox=[10, 70, 30, 20])), 6, "unturned")
    (train, val) = (f.text for f in check(root).findings if f.kind == "exif-evidence")
    assert train == (
        "of 4 images the outlines of 4 fit the upright image only, of 0 the unturned one only, of 0 both: "
        "use --exif apply"
    )
    assert "of 2 images" in val


def test_annotated_upright(given: Set) -> None:
    given.each(lambda i: i.update(width=HEIGHT, height=WIDTH), "images")
    root = turned_set(given, 6, "upright")
    assert kinds(check(root))["exif-upright"] == 6
    assert check(root).ok
    assert min(bright(root)) > 200


def test_twelve_bits_in_sixteen(given: Set) -> None:
    given.images = {
        name.replace("jpg", "png"): (pixels.astype(np.uint16) * 16) for name, pixels in given.images.items()
    }
    given.each(lambda i: i.update(file_name=i["file_name"].replace("jpg", "png")), "images")
    root = given.write()
    report = check(root)
    assert kinds(report) == {"depth": 6}
    assert "4080" in report.warnings[0] or "4095 of 65535" in report.warnings[0]


def test_a_format_that_is_not_read(given: Set) -> None:
    root = given.write()
    for file in (root / "images").iterdir():
        file.rename(file.with_suffix(".gif"))
        file.with_suffix(".gif").write_bytes(b"GIF89a" + struct.pack("<HH", WIDTH, HEIGHT) + bytes(30))
    report = check(root)
    assert kinds(report)["image-unreadable"] == 6
    assert "GIF" in report.problems[0]


def test_classes_that_differ_in_case_or_blanks(given: Set) -> None:
    for file in given.files.values():
        file["categories"].append({"id": 2, "name": "Red "})
    assert kinds(check(given.write())) == {"category-similar": 2, "category-empty": 1}


def test_a_size_that_nobody_wrote(given: Set) -> None:
    root = given.each(lambda i: (i.pop("width"), i.update(height=0)), "images").write()
    assert kinds(check(root)) == {"size-read": 6}
    good(root)


def test_findings_are_counted_and_shown_by_kind(given: Set, edge_seg: Callable[..., Any]) -> None:
    root = given.each(lambda a: a.update(category_id=9)).write()
    done = edge_seg("data", "check", root)
    assert done.returncode == 1
    assert "annotations name a category that isn't listed (6):" in done.stderr
    assert "… and 1 more (--json lists all)" in done.stderr
    answer = json.loads(edge_seg("data", "check", root, "--json").stdout)
    assert len([f for f in answer["findings"] if f["kind"] == "category-unknown"]) == 6


def test_a_clean_copy(given: Set, edge_seg: Callable[..., Any]) -> None:
    whole = copy.deepcopy(given.files)
    first, second, third, _ = given.files["train"]["annotations"]
    first["bbox"] = [0, 0, 0, 0]
    second["category_id"] = 9
    third["segmentation"] = [[1, 2]]
    given.files["train"]["images"].append({"id": 9, "file_name": "gone.jpg", "width": 9, "height": 9})
    for file in given.files.values():
        file["categories"] += [{"id": 2, "name": "things"}, {"id": 3, "name": "Red"}]
    root = given.write()
    out = root.with_name("clean")
    words = ["--fix", out, "--drop", "things", "--merge-classes", "red,Red=red"]
    done = edge_seg("data", "check", root, *words)
    assert done.returncode == 0, done.stderr
    assert "ready to be trained on" in done.stdout
    train, val = load_splits(out)
    assert train.classes == ("red",)
    assert [len(record.annotations) for record in train.images] == [1, 0, 0, 1]
    assert len(val) == 2
    assert kinds(check(out)) == {}
    log = [json.loads(line) for line in (out / "changes.jsonl").read_text().splitlines()]
    assert {(entry["kind"], entry["subject"].split(":")[0]) for entry in log} == {
        ("box", "annotation 1"),
        ("category-unknown", "annotation 2"),
        ("outline", "annotation 3"),
        ("image-missing", "image 9 (gone.jpg)"),
    }
    again = edge_seg("data", "check", root, *words)
    assert again.returncode == 2
    assert "exists" in again.stderr or "other files" in again.stderr
    unknown = edge_seg("data", "check", root, "--fix", out.with_name("x"), "--drop", "nobody")
    assert unknown.returncode == 2
    assert "'nobody'" in unknown.stderr
    assert not out.with_name("x").exists()
    assert whole["val"] == {**given.files["val"], "categories": whole["val"]["categories"]}
