"""Dividing, merging, counting and fetching data sets."""

from __future__ import annotations

import functools
import http.server
import json
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_seg.data.check import check
from edge_seg.data.coco import load_splits
from edge_seg.data.dataset import Annotation, CocoDataset, ImageRecord
from edge_seg.data.fetch import MIRROR, address, fetch_dataset
from edge_seg.data.split import divide, group_by, shares
from edge_seg.data.synth import make
from edge_seg.errors import DataError, UsageError
from edge_seg.files import sha256


def dataset(labels: list[list[int]], names: list[str] | None = None) -> CocoDataset:
    """Images with objects of these labels."""
    records = tuple(
        ImageRecord(
            n,
            Path(names[n] if names else f"{n}.png"),
            80,
            60,
            tuple(Annotation(m, label, (0, 0, 9, 9), 81, False, []) for m, label in enumerate(own)),
        )
        for n, own in enumerate(labels)
    )
    return CocoDataset(Path("all.json"), records, ("a", "b", "c"), (1, 2, 3))


def held(one: CocoDataset) -> Counter[int]:
    return Counter(a.label for record in one.images for a in record.annotations)


def test_shares_and_classes_are_kept() -> None:
    # A class on one image in ten, and images with nothing.
    whole = dataset([[0, 0], [0], [1], [0, 1], []] * 38 + [[2]] * 10)
    parts = divide(whole, shares(0.2, 0.1), 1)
    assert [len(parts[name]) for name in ("train", "val", "test")] == pytest.approx([140, 40, 20], abs=2)
    for label, number in held(whole).items():
        assert held(parts["val"])[label] == pytest.approx(0.2 * number, abs=2)
        assert held(parts["test"])[label] == pytest.approx(0.1 * number, abs=2)
    ids = [record.id for part in parts.values() for record in part.images]
    assert sorted(ids) == list(range(200))


@pytest.mark.parametrize("balance", [True, False])
def test_the_seed_decides(balance: bool) -> None:
    whole = dataset([[n % 3] for n in range(60)])
    a, b, c = (divide(whole, shares(0.25), seed, balance=balance) for seed in (1, 1, 2))
    assert a == b != c
    assert len(a["val"]) == 15


def test_groups_stay_together() -> None:
    names = [f"video{n // 10}_frame{n}.jpg" for n in range(100)] + ["single.jpg"]
    whole = dataset([[n % 3] for n in range(101)], names)
    parts = divide(whole, shares(0.3), 0, group=group_by(r"^(video\d+)_"))
    videos = [{record.path.name.split("_")[0] for record in part.images} for part in parts.values()]
    assert videos[0].isdisjoint(videos[1])
    assert len(parts["val"]) == pytest.approx(30, abs=1)


def test_what_cannot_be_divided_is_refused() -> None:
    with pytest.raises(DataError, match="1 image; at least 2"):
        divide(dataset([[0]]), shares(0.2), 0)
    with pytest.raises(DataError, match="1 group of images"):
        divide(dataset([[0], [1]]), shares(0.2), 0, group=group_by("png"))
    for val, test in ((0.0, 0.0), (1.0, 0.0), (0.6, 0.4), (0.5, -0.1)):
        with pytest.raises(UsageError):
            shares(val, test)
    with pytest.raises(UsageError, match="regular expression"):
        group_by("(")
    assert [len(part) for part in divide(dataset([[0]] * 3), shares(0.01, 0.01), 0).values()] == [1, 1, 1]


def test_split_merge_and_stats(edge_seg: Callable[..., Any], tmp_path: Path) -> None:
    make(tmp_path / "one", 10, 64, 1)
    make(tmp_path / "two", 10, 64, 2)
    done = edge_seg("data", "merge", "one", "two", "--out", "both", "--rename", "star=sun", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["classes"] == ["circle", "triangle", "sun"]
    train, val = load_splits(tmp_path / "both")
    assert [len(train), len(val)] == [16, 4]
    # Both sets name their images alike.
    assert len({record.path for record in (*train.images, *val.images)}) == 20
    done = edge_seg("data", "split", "both", "again", "--val", 0.25, "--test", 0.25, "--json")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert [counts[split]["images"] for split in ("train", "val", "test")] == [10, 5, 5]
    total = sum(counts[split]["instances"] for split in ("train", "val", "test"))
    assert total == sum(len(record.annotations) for one in (train, val) for record in one.images)
    assert set(check(tmp_path / "again").splits) == {"train", "val", "test"}
    done = edge_seg("data", "stats", "again", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["splits"]
    assert sum(figures["train"]["shorter_side_octaves"].values()) == figures["train"]["instances"]
    assert figures["test"]["aspect_ratios"] == {"1.0": 5}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: Any) -> None:
        """Nothing: a test's output is its result."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serves a folder with the archive of a data set: its address, and the archive."""
    make(tmp_path / "made/shapes", 4, 64, 1)
    folder = tmp_path / "served"
    folder.mkdir()
    with tarfile.open(folder / "xiaoduxiong_ins_det.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "made/shapes", "shapes_det")
    serve = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", folder / "xiaoduxiong_ins_det.tar.gz"
        running.shutdown()
        thread.join()


def test_fetch_by_address_and_by_name(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, archive = server
    right = sha256(archive)
    place, digest = fetch_dataset(f"{url}/{archive.name}", tmp_path / "set", checksum=right)
    assert (place, digest) == (tmp_path / "set", right)
    assert check(place).ok
    monkeypatch.setenv(MIRROR, url)
    assert fetch_dataset("xiaoduxiong", tmp_path / "named")[0] == tmp_path / "named"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "named", "served", "set"]
    with pytest.raises(UsageError, match="exists|other files"):
        fetch_dataset("xiaoduxiong", tmp_path / "named")
    with pytest.raises(DataError, match="sha256"):
        fetch_dataset("xiaoduxiong", tmp_path / "other", checksum="0" * 64)
    assert not (tmp_path / "other").exists()


def test_an_archive_that_leads_out_of_the_folder_is_refused(server: tuple[str, Path], tmp_path: Path) -> None:
    url, archive = server
    with tarfile.open(archive, "w:gz") as opened:
        opened.add(tmp_path / "made/shapes/train.json", "../train.json")
    with pytest.raises(DataError, match="leads out"):
        fetch_dataset(f"{url}/{archive.name}", tmp_path / "set")
    assert not (tmp_path / "set").exists()
    assert not (tmp_path / "train.json").exists()


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MIRROR, raising=False)
    assert address("xiaoduxiong", None)[0].endswith("/xiaoduxiong_ins_det.tar.gz")
    assert address("xiaoduxiong", "https://mirror/sets/")[0] == "https://mirror/sets/xiaoduxiong_ins_det.tar.gz"
    with pytest.raises(UsageError, match="names are"):
        address("nothing", None)
