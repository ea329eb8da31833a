"""There and back: what one format holds, another holds too, as far as it can."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from edge_seg.data.coco import load_splits
from edge_seg.data.dataset import CocoDataset, ImageRecord
from edge_seg.data.findings import Findings
from edge_seg.data.formats import labelme, yolo
from edge_seg.data.formats.convert import ImportOptions, import_dataset
from edge_seg.data.formats.labelstudio import decode_rle
from edge_seg.data.outline import Fault, decode, turn_mask, turn_point
from edge_seg.data.synth import make
from edge_seg.errors import DataError
from edge_seg.runtime.image import read_image
from edge_seg.runtime.trace import one_polygon, trace
from tests.data.test_cases import exif

IMAGES, SIZE = 50, 96
Splits = dict[str, CocoDataset]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    """A generated set: run lengths, one above the other, some cut in pieces; every second object as polygons."""
    folder = tmp_path_factory.mktemp("formats") / "set"
    make(folder, IMAGES, SIZE, 3)
    for split in ("train", "val"):
        file = folder / f"{split}.json"
        plain = json.loads(file.read_text())
        for one in plain["annotations"][::2]:
            mask = decode(one["segmentation"], SIZE, SIZE)
            contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            polygons = [(c.reshape(-1, 2) + 0.37).reshape(-1).tolist() for c in contours if len(c) > 2]
            if polygons:
                one["segmentation"] = polygons
                del one["bbox"], one["area"]
        file.write_text(json.dumps(plain))
    train, val = load_splits(folder)
    return {"train": train, "val": val}


def masks(record: ImageRecord, classes: tuple[str, ...]) -> list[tuple[str, np.ndarray]]:
    height, width = record.height, record.width
    return [(classes[a.label], decode(a.segmentation, height, width)) for a in record.annotations]


def assert_same(before: Splits, after: Splits, least: float = 0.995) -> None:
    """The same splits, images, classes and objects, each with an IoU of ``least``."""
    assert set(before) == set(after)
    for split, dataset in before.items():
        theirs = {record.path.stem: record for record in after[split].images}
        assert set(theirs) == {record.path.stem for record in dataset.images}
        for record in dataset.images:
            mine = masks(record, dataset.classes)
            yours = masks(theirs[record.path.stem], after[split].classes)
            assert len(mine) == len(yours)
            for label, mask in mine:
                best = max(np.sum(mask & other) / np.sum(mask | other) for name, other in yours if name == label)
                assert best >= least


def imported(kind: str, place: Path, out: Path, **options: Any) -> tuple[Splits, Findings]:
    found = Findings()
    import_dataset(kind, place, out, ImportOptions(**options), findings=found)
    train, val = load_splits(out)
    return {"train": train, "val": val}, found


@pytest.mark.parametrize(("kind", "module"), [("labelme", labelme), ("yolo", yolo)])
def test_export_and_import(shapes: Splits, tmp_path: Path, kind: str, module: Any) -> None:
    assert module.write(shapes, tmp_path / "there") == 0
    back, found = imported(kind, tmp_path / "there", tmp_path / "back")
    assert_same(shapes, back)
    assert {finding.kind for finding in found} <= {"grouped"}
    if kind == "labelme":  # exact
        mine, theirs = ([a.segmentation for r in d["train"].images for a in r.annotations] for d in (shapes, back))
        assert sorted(map(str, mine)) == sorted(map(str, theirs))


def copy_image(record: ImageRecord, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(record.path.read_bytes())


def test_cvat(shapes: Splits, tmp_path: Path) -> None:
    root = ElementTree.Element("annotations")
    labels = ElementTree.SubElement(ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task"), "labels")
    for name in shapes["train"].classes:
        ElementTree.SubElement(ElementTree.SubElement(labels, "label"), "name").text = name
    for split, dataset in shapes.items():
        for record in dataset.images:
            copy_image(record, tmp_path / "cvat/images" / record.path.name)
            facts = {"name": record.path.name, "width": str(SIZE), "height": str(SIZE), "subset": split.title()}
            entry = ElementTree.SubElement(root, "image", {"id": str(record.id), **facts})
            for number, a in enumerate(record.annotations, 1):
                label = dataset.classes[a.label]
                if isinstance(a.segmentation, list):
                    for polygon in a.segmentation:
                        points = ";".join(f"{x},{y}" for x, y in zip(polygon[::2], polygon[1::2], strict=True))
                        group = str(number) if len(a.segmentation) > 1 else "0"
                        ElementTree.SubElement(entry, "polygon", label=label, points=points, group_id=group)
                    continue
                mask = decode(a.segmentation, SIZE, SIZE)
                x, y, w, h = cv2.boundingRect(mask)
                flat = mask[y : y + h, x : x + w].reshape(-1)
                ends = np.flatnonzero(np.diff(flat, prepend=0, append=1 - flat[-1]))
                rle = ", ".join(map(str, np.diff(ends, prepend=0)))
                place = {"left": str(x), "top": str(y), "width": str(w), "height": str(h)}
                ElementTree.SubElement(entry, "mask", {"label": label, "rle": rle, **place})
    ElementTree.ElementTree(root).write(tmp_path / "cvat/annotations.xml")
    back, found = imported("cvat", tmp_path / "cvat", tmp_path / "back")
    assert_same(shapes, back)
    assert back["train"].classes == shapes["train"].classes
    assert list(found) == []


def test_cvats_other_shapes(tmp_path: Path) -> None:
    folder = tmp_path / "cvat"
    folder.mkdir()
    for n in (1, 2):
        cv2.imwrite(str(folder / f"{n}.png"), np.full((60, 80, 3), n, np.uint8))
    shapes = (
        '<box label="a" xtl="10" ytl="10" xbr="30" ybr="20"/>'
        '<box label="b" xtl="30" ytl="25" xbr="50" ybr="35" rotation="90"/>'
        '<ellipse label="c" cx="60" cy="40" rx="10" ry="5" rotation="30"/>'
        '<points label="d" points="1,2;3,4"/><tag label="e"/>'
    )
    images = "".join(f'<image id="{n}" name="{n}.png" width="80" height="60">{shapes}</image>' for n in (1, 2))
    (folder / "annotations.xml").write_text(f"<annotations>{images}</annotations>")
    back, found = imported("cvat", folder, tmp_path / "back")
    areas = dict(masks(back["train"].images[0], back["train"].classes))
    assert [f.kind for f in found] == ["no-area", "no-area"]
    assert areas["a"].sum() == 200
    assert cv2.boundingRect(areas["b"]) == (35, 20, 10, 20)
    assert areas["c"].sum() == pytest.approx(np.pi * 50, rel=0.04)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("<annotations>", "not XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "entities"),
        ('<annotations><track id="0"/></annotations>', "video"),
        ("<html/>", "CVAT"),
        ("<annotations/>", "no images"),
        ('<annotations><image name="gone.png"/></annotations>', "gone.png"),
    ],
)
def test_what_is_not_cvats_is_refused(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(DataError, match=word):
        imported("cvat", tmp_path / "annotations.xml", tmp_path / "back")


def pack_rle(pixels: np.ndarray) -> list[int]:
    """What Label Studio writes for these bytes, uint8[N]: repeated values where three or more are alike."""
    bits: list[str] = [f"{len(pixels):032b}", f"{7:05b}", *(f"{width - 1:04b}" for width in (3, 4, 8, 16))]

    def length(count: int) -> str:
        chosen = next(n for n, width in enumerate((3, 4, 8, 16)) if count <= 1 << width)
        return f"{chosen:02b}{count - 1:0{(3, 4, 8, 16)[chosen]}b}"

    ends = [*(np.flatnonzero(np.diff(pixels)) + 1).tolist(), len(pixels)]
    start = 0
    for end in ends:
        while start < end:
            count = min(end - start, 1 << 16)
            if count < 3:
                bits.append("0" + length(count) + f"{pixels[start]:08b}" * count)
            else:
                bits.append("1" + length(count) + f"{pixels[start]:08b}")
            start += count
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[n : n + 8], 2) for n in range(0, len(text), 8)]


def test_label_studio(shapes: Splits, tmp_path: Path) -> None:
    tasks = []
    single = {"train": shapes["train"], "val": shapes["val"]}
    for dataset in single.values():
        for record in dataset.images:
            copy_image(record, tmp_path / "ls/images" / record.path.name)
            results: list[dict[str, Any]] = []
            for a in record.annotations:
                label = dataset.classes[a.label]
                sides = {"original_width": SIZE, "original_height": SIZE}
                if isinstance(a.segmentation, list) and len(a.segmentation) == 1:
                    flat = [v * 100 / SIZE for v in a.segmentation[0]]
                    points = [list(point) for point in zip(flat[::2], flat[1::2], strict=True)]
                    value: dict[str, Any] = {"points": points, "polygonlabels": [label]}
                    results.append({"type": "polygonlabels", "value": value, **sides})
                else:
                    mask = decode(a.segmentation, SIZE, SIZE) * np.uint8(255)
                    rle = pack_rle(np.repeat(mask.reshape(-1), 4))
                    value = {"format": "rle", "rle": rle, "brushlabels": [label]}
                    results.append({"type": "brushlabels", "value": value, **sides})
            address = f"/data/upload/7/0a1b2c3d-{record.path.name}"
            tasks.append({"id": record.id, "data": {"image": address}, "annotations": [{"result": results}]})
    (tmp_path / "ls/export.json").write_text(json.dumps(tasks))
    back, found = imported("labelstudio", tmp_path / "ls/export.json", tmp_path / "back", val=0.2)
    assert {f.kind for f in found} <= {"image-elsewhere"}
    joined = [r for d in back.values() for r in d.images]
    mine = [r for d in shapes.values() for r in d.images]
    whole = {"all": CocoDataset(Path(), tuple(mine), shapes["train"].classes, (1, 2, 3))}
    assert_same(whole, {"all": CocoDataset(Path(), tuple(joined), back["train"].classes, (1, 2, 3))})
    assert len(back["val"]) == 10


def test_label_studios_tasks(tmp_path: Path) -> None:
    for n in range(1, 6):
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.full((60, 80, 3), n, np.uint8))
    box = {"x": 25, "y": 25, "width": 25, "height": 50, "rotation": 0, "rectanglelabels": ["a"]}
    oval = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10, "ellipselabels": ["b"]}
    point = {"x": 1, "y": 1, "keypointlabels": ["c"]}
    results = [
        {"type": "rectanglelabels", "value": box},
        {"type": "ellipselabels", "value": oval},
        {"type": "keypointlabels", "value": point},
        {"type": "choices", "value": {"choices": ["good"]}},
    ]
    once = [{"result": results}]
    tasks = [
        {"id": 1, "data": {"image": "s3://bucket/1.png"}, "annotations": once},
        {"id": 2, "data": {"image": "2.png"}, "annotations": [{"result": results, "was_cancelled": True}]},
        {"id": 3, "data": {"image": "3.png"}, "annotations": [*once, {"result": []}]},
        {"id": 4, "data": {"image": "4.png"}, "annotations": []},
        {"id": 5, "data": {"image": "5.png"}, "annotations": [{"result": []}]},
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    back, found = imported("labelstudio", tmp_path / "export.json", tmp_path / "back")
    kinds = [f.kind for f in found]
    assert sorted(kinds) == sorted(
        ["image-elsewhere", "no-area", "no-area", "task-unannotated", "task-unannotated", "versions"]
    )
    records = [r for d in back.values() for r in d.images]
    assert sorted(len(r.annotations) for r in records) == [0, 2, 2]
    found_masks = next(dict(masks(r, back["train"].classes)) for r in records if r.annotations)
    assert found_masks["a"].sum() == 20 * 30
    assert found_masks["b"].sum() == pytest.approx(np.pi * 8 * 6, rel=0.05)


@pytest.mark.parametrize("data", [[], [1] * 20, [300], ["a"], [0, 0, 0, 16, 57, 146, 63]])
def test_damaged_run_lengths_of_label_studio(data: list[Any]) -> None:
    with pytest.raises(Fault):
        decode_rle(data, 16)


def palette_png(values: np.ndarray, colors: list[tuple[int, int, int]]) -> bytes:
    """A PNG with a palette, which OpenCV can't write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return len(content).to_bytes(4, "big") + checked + zlib.crc32(checked).to_bytes(4, "big")

    height, width = values.shape
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 3, 0, 0, 0])
    lines = b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in values)
    flat = b"".join(bytes(color) for color in colors)
    parts = chunk(b"IHDR", head), chunk(b"PLTE", flat), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def voc_color(number: int) -> tuple[int, int, int]:
    """VOC's colour map: the bits of the number spread over red, green and blue."""
    color = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            color[channel] |= (number >> (3 * bit + channel) & 1) << (7 - bit)
    return color[0], color[1], color[2]


@pytest.mark.parametrize("form", ["palette", "grey", "colours"])
def test_voc_masks(shapes: Splits, tmp_path: Path, form: str) -> None:
    folder = tmp_path / "voc"
    for place in ("SegmentationObject", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / place).mkdir(parents=True)
    colors = [voc_color(n) for n in range(256)]
    names = shapes["train"].classes
    if form == "colours":  # CVAT
        lines = [f"{name}:{','.join(map(str, colors[n]))}::" for n, name in enumerate(("background", *names))]
        (folder / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "\n".join(lines) + "\n")
    else:  # labelme
        (folder / "class_names.txt").write_text("\n".join(["_background_", *names]) + "\n")
    for split, dataset in shapes.items():
        for record in dataset.images:
            copy_image(record, folder / "JPEGImages" / record.path.name)
            objects, classes = np.zeros((2, SIZE, SIZE), np.uint8)
            for number, a in enumerate(record.annotations, 1):
                mask = decode(a.segmentation, SIZE, SIZE)
                objects[mask > 0], classes[mask > 0] = number, a.label + 1
            for place, values in (("SegmentationObject", objects), ("SegmentationClass", classes)):
                values = values.copy()
                values[0, 0] = 255 if form != "colours" and values[0, 0] == 0 else values[0, 0]
                file = folder / place / f"{record.path.stem}.png"
                if form == "palette":
                    file.write_bytes(palette_png(values, colors))
                else:
                    pixels = values if form == "grey" else np.array(colors, np.uint8)[values][:, :, ::-1]
                    cv2.imwrite(str(file), pixels)
        lines = [record.path.stem for record in dataset.images]
        (folder / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(lines) + "\n")
    back, found = imported("voc", folder, tmp_path / "back")
    assert list(found) == []
    assert back["train"].classes == names
    for split, dataset in shapes.items():
        theirs = {record.path.stem: record for record in back[split].images}
        assert set(theirs) == {record.path.stem for record in dataset.images}
        for record in dataset.images:
            # A pixel has one owner here: the last object drawn on it.
            mine = [(dataset.classes[a.label], decode(a.segmentation, SIZE, SIZE)) for a in record.annotations]
            for number, (_, mask) in enumerate(mine):
                for _, above in mine[number + 1 :]:
                    mask[above > 0] = 0
            yours = masks(theirs[record.path.stem], back[split].classes)
            key = lambda one: (one[0], one[1].tobytes())  # noqa: E731 objects have no order here
            for one, other in zip(sorted(mine, key=key), sorted(yours, key=key), strict=True):
                assert key(one) == key(other)


def test_yolo_as_roboflow_writes_it(shapes: Splits, tmp_path: Path) -> None:
    folder = tmp_path / "yolo"
    names = {"train": "train", "val": "valid"}
    for split, dataset in shapes.items():
        (folder / names[split] / "labels").mkdir(parents=True)
        for record in dataset.images:
            copy_image(record, folder / names[split] / "images" / record.path.name)
            lines = [
                " ".join([str(a.label), *(str(v / SIZE) for v in yolo.as_polygon(a.segmentation, SIZE, SIZE))])
                for a in record.annotations
            ]
            if lines:  # an image with nothing has no file
                (folder / names[split] / "labels" / f"{record.path.stem}.txt").write_text("\n".join(lines))
    (folder / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\nnc: 3\nnames: ['circle', 'triangle', 'star']\n"
    )
    back, found = imported("yolo", folder, tmp_path / "back")
    assert_same(shapes, back)
    assert {finding.kind for finding in found} == {"image-background"}


def test_yolos_faults_come_in_one_run(tmp_path: Path) -> None:
    for n in range(2):
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.full((60, 80, 3), n, np.uint8))
    lines = ["0 0.1 0.1 0.5 0.1 0.5 0.5", "0 0.5 0.5 0.2 0.2", "7 0.1 0.1 0.5 0.1 0.5 0.5", "0 10 10 50 10 50 50",
             "0 0.1 0.1 0.5 0.1 0.5", "x", "0 nan 0.1 0.5 0.1 0.5 0.5", "0.5 1"]  # fmt: skip
    (tmp_path / "0.txt").write_text("\n".join(lines))
    (tmp_path / "classes.txt").write_text("cat\n")
    with pytest.raises(DataError) as caught:
        imported("yolo", tmp_path, tmp_path.with_name("back"))
    for number in range(2, 9):
        assert f"line {number}" in caught.value.message
    assert "line 1:" not in caught.value.message
    assert "bounding box" in caught.value.message


def test_a_traced_mask_is_drawn_again_to_the_pixel() -> None:
    rng = np.random.default_rng(0)
    for density in (0.05, 0.5, 0.9):
        for shape in ((1, 1), (3, 5), (40, 31)):
            mask = (rng.random(shape) < density).astype(np.uint8)
            mask[0, 0] = 1
            np.testing.assert_array_equal(decode([one_polygon(trace(mask))], *shape), mask)


def test_command(edge_seg: Callable[..., Any], shapes: Splits, tmp_path: Path) -> None:
    source = shapes["train"].coco_json.parent
    done = edge_seg("data", "export", "yolo", source, "yolo", "--rename", "star=sun", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["classes"] == ["circle", "triangle", "sun"]
    done = edge_seg("data", "import", "yolo", "yolo", "back", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["train"]["images"] == 40
    next((tmp_path / "yolo/labels/val").glob("*.txt")).write_text("0 0.5 0.5 0.1 0.1\n9 1 1 1\n")
    done = edge_seg("data", "import", "yolo", "yolo", "other", "--json")
    assert done.returncode == 1
    assert {f["kind"] for f in json.loads(done.stdout)["findings"]} == {"no-outline", "category-unknown"}
    assert not (tmp_path / "other").exists()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize(
    ("kind", "drawn"),
    [
        *((kind, drawn) for kind in ("labelme", "yolo", "cvat", "voc") for drawn in ("upright", "unturned")),
        ("labelstudio", "upright"),  # it knows no other way
    ],
)
def test_images_that_exif_turns(tmp_path: Path, kind: str, orientation: int, drawn: str) -> None:
    width, height = 96, 64
    stored = np.zeros((height, width), np.uint8)
    stored[10:34, 20:50] = 255
    corners: list[tuple[float, float]] = [(20, 10), (50, 10), (50, 34), (20, 34)]
    mask = stored // 255
    if drawn == "upright":
        corners = [turn_point(x, y, orientation, width, height) for x, y in corners]
        mask = turn_mask(mask, orientation)
    tall, wide = mask.shape
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    entries, tasks = "", []
    for name in ("p1", "p2"):
        image = folder / f"images/{name}.jpg"
        cv2.imwrite(str(image), np.repeat(stored[:, :, None], 3, axis=2))
        exif(image, orientation)
        if kind == "labelme":
            shapes = [{"label": "a", "points": corners, "shape_type": "polygon"}]
            plain = {"shapes": shapes, "imagePath": image.name, "imageWidth": wide, "imageHeight": tall}
            image.with_suffix(".json").write_text(json.dumps(plain))
        elif kind == "yolo":
            (folder / "labels").mkdir(exist_ok=True)
            (folder / f"labels/{name}.txt").write_text("0 " + " ".join(f"{x / wide} {y / tall}" for x, y in corners))
        elif kind == "voc":
            for place in ("SegmentationObject", "SegmentationClass"):
                (folder / place).mkdir(exist_ok=True)
                cv2.imwrite(str(folder / place / f"{name}.png"), mask)
        points = ";".join(f"{x},{y}" for x, y in corners)
        shape = f'<polygon label="a" points="{points}"/>'
        entries += f'<image id="1" name="{name}.jpg" width="{wide}" height="{tall}">{shape}</image>'
        value = {"polygonlabels": ["a"], "points": [[100 * x / wide, 100 * y / tall] for x, y in corners]}
        result = {"type": "polygonlabels", "original_width": width, "original_height": height, "value": value}
        tasks.append({"data": {"image": f"/upload/{name}.jpg"}, "annotations": [{"result": [result]}]})
    (folder / "classes.txt").write_text("a\n")
    if kind == "cvat":
        (folder / "annotations.xml").write_text(f"<annotations>{entries}</annotations>")
    elif kind == "labelstudio":
        (folder / "export.json").write_text(json.dumps(tasks))
    if kind != "labelstudio":
        found = Findings()
        try:
            import_dataset(kind, folder, tmp_path / "undecided", ImportOptions(), findings=found)
        except DataError:
            assert (orientation, drawn) == (6, "unturned")
        assert {"exif-unclear", "exif-upright", "exif-size"} & {f.kind for f in found}
    how = "apply" if drawn == "upright" else "ignore"
    import_dataset(kind, folder, tmp_path / "out", ImportOptions(exif=how))
    for dataset in load_splits(tmp_path / "out"):
        for record in dataset.images:
            pixels = read_image(record.path)
            inside = decode(record.annotations[0].segmentation, record.height, record.width) > 0
            assert float(pixels[inside].mean()) - float(pixels[~inside].mean()) > 200
