"""The generated dataset."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_seg.data.check import check
from edge_seg.data.coco import decode, load_splits
from edge_seg.data.synth import CLASSES, draw, make
from edge_seg.errors import UsageError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        make(tmp_path / name, 6, 96, seed)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert all(a[name] != c[name] for name in a)


def test_images_do_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    make(tmp_path / "few", 3, 96, 1)
    make(tmp_path / "many", 5, 96, 1)
    few, many = contents(tmp_path / "few"), contents(tmp_path / "many")
    assert all(many[name] == few[name] for name in few if name.startswith("images/"))


def test_the_set_is_valid_coco_with_nothing_odd_in_it(tmp_path: Path) -> None:
    counts = make(tmp_path / "set", 20, 128, 3, 0.25)
    report = check(tmp_path / "set")
    assert report.problems == []
    assert report.warnings == []
    assert counts["train"]["images"] == 15
    assert counts["val"]["images"] == 5
    train, val = load_splits(tmp_path / "set")
    assert train.classes == CLASSES
    assert {record.path for record in train.images}.isdisjoint({record.path for record in val.images})


def test_masks_are_the_visible_parts(tmp_path: Path) -> None:
    make(tmp_path / "set", 12, 128, 2)
    overlapping = 0
    for record in load_splits(tmp_path / "set")[0].images:
        masks = [decode(a.segmentation, 128, 128) for a in record.annotations]
        if masks:
            assert np.sum(masks, axis=0).max() <= 1
        for a, mask in zip(record.annotations, masks, strict=True):
            assert a.area == mask.sum() > 0
        boxes = [a.box for a in record.annotations]
        overlapping += sum(
            p[0] < q[2] and q[0] < p[2] and p[1] < q[3] and q[1] < p[3] for i, p in enumerate(boxes) for q in boxes[:i]
        )
    assert overlapping > 5


def test_it_has_all_classes_many_sizes_and_empty_images() -> None:
    drawn = [draw(0, 96, index)[1] for index in range(80)]
    labels = Counter(instance.label for instances in drawn for instance in instances)
    areas = [instance.mask.sum() for instances in drawn for instance in instances]
    assert set(labels) == set(range(len(CLASSES)))
    assert max(labels.values()) < 2 * min(labels.values())
    assert np.percentile(areas, 95) > 8 * np.percentile(areas, 5)
    assert 1 <= sum(not instances for instances in drawn) <= 12


@pytest.mark.parametrize("size", [64, 97, 320])
def test_image_and_masks_have_the_size_that_was_asked_for(size: int) -> None:
    image, instances = draw(1, size, 0)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert all(instance.mask.shape == (size, size) for instance in instances)


@pytest.mark.parametrize(
    ("images", "size", "seed", "val", "word"),
    [(1, 96, 0, 0.2, "images"), (4, 10, 0, 0.2, "size"), (4, 96, -1, 0.2, "seed"), (4, 96, 0, 1.0, "fraction")],
)
def test_numbers_that_cannot_be_had_are_refused(
    tmp_path: Path, images: int, size: int, seed: int, val: float, word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        make(tmp_path / "set", images, size, seed, val)
    assert not (tmp_path / "set").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError):
        make(tmp_path, 2, 96, 0)
    assert contents(tmp_path) == {"mine.txt": b"mine"}


def test_command(edge_seg: Callable, tmp_path: Path) -> None:
    done = edge_seg("data", "synth", "set", "--images", 5, "--size", 96, "--seed", 4, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["train"]["images"] == 4
    assert answer["val"]["images"] == 1
    assert len(list((tmp_path / "set/images").iterdir())) == 5


def test_a_full_disk_leaves_nothing(edge_seg: Callable, tmp_path: Path) -> None:
    done = edge_seg("data", "synth", "set", "--images", 3, "--size", 96, file_limit=1000)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Error: " in done.stderr
    assert list(tmp_path.iterdir()) == []
