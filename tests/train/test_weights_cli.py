"""``edge-seg weights``, against a server on this machine."""

from __future__ import annotations

import functools
import http.server
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.cli import main
from edge_seg.train import pretrained
from edge_seg.train.run import Run, load_run
from edge_seg.train.weights import read_arrays, write_arrays


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that a mirror on 127.0.0.1 serves; the cache is empty."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv(pretrained.MIRROR, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("EDGE_SEG_CACHE", str(tmp_path / "cache"))
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_table_is_sound() -> None:
    table = pretrained.load_table()
    assert len({entry.name for entry in table}) == len(table)
    for model in ("mask_rcnn_r50_fpn", "mask_rcnn_r18_fpn", "mask_rcnn_hrnet_fpn"):
        assert pretrained.find_for(model, "imagenet") is not None
    assert len(set(pretrained.coco_classes())) == 80


def test_list_tells_what_is_in_the_cache(served: Path, capsys: Any) -> None:
    (served / "ResNet50_cos_pretrained.pdparams").write_bytes(b"weights")
    assert main(["weights", "fetch", "r50-imagenet"]) == 0
    file = Path(capsys.readouterr().out.strip())
    assert file.read_bytes() == b"weights"
    assert main(["weights", "list", "--json"]) == 0
    cached = {row["name"]: row["cached"] for row in json.loads(capsys.readouterr().out)["weights"]}
    assert cached["r50-imagenet"] == str(file)
    assert cached["r18-coco"] is None
    assert main(["weights", "list"]) == 0
    assert "ResNet18_pretrained.tar" in capsys.readouterr().out


def test_the_first_downloads_hash_is_kept(served: Path, capsys: Any) -> None:
    source = served / "ResNet50_cos_pretrained.pdparams"
    source.write_bytes(b"weights")
    assert main(["weights", "fetch", "r50-imagenet"]) == 0
    file = Path(capsys.readouterr().out.strip())
    file.unlink()
    source.write_bytes(b"other weights")
    assert main(["weights", "fetch", "r50-imagenet"]) == 1
    assert "when it was first downloaded" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "words"), [("r99", "choose one of: r50-imagenet"), ("r18-coco", "404")])
def test_what_cannot_be_had_is_named(served: Path, capsys: Any, name: str, words: str) -> None:
    assert main(["weights", "fetch", name]) != 0
    assert words in capsys.readouterr().err


def test_import_makes_a_run_that_is_the_same_model(finished: Run, tmp_path: Path, data: Path, capsys: Any) -> None:
    file = tmp_path / "model.pdparams"
    file.write_bytes(finished.weights.read_bytes())
    out = tmp_path / "run"
    words = ["weights", "import", str(file), "--model", "mask_rcnn_tiny_fpn", "--out", str(out), "--size", "64"]
    assert main(words) == 2
    assert "a detector of 3 classes, no names given" in capsys.readouterr().err
    assert main([*words, "--classes", "a,b"]) == 2
    assert not out.exists()
    names = ",".join(finished.config.classes)
    assert main([*words, "--classes", names, "--golden", str(finished.golden)]) == 0
    run = load_run(out)
    assert run.config.classes == finished.config.classes
    found, wanted = read_arrays(run.weights), read_arrays(finished.weights)
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    capsys.readouterr()
    assert main(["eval", str(out), "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mask_map"] == finished.config.metrics["mask_map"]
    assert main([*words, "--classes", names]) == 2  # it is there already


def test_import_refuses_another_model_and_a_backbone(finished: Run, tmp_path: Path, capsys: Any) -> None:
    words = ["weights", "import", str(finished.path), "--out", str(tmp_path / "run"), "--model"]
    assert main([*words, "mask_rcnn_r18_fpn"]) == 1
    assert "weights of another model" in capsys.readouterr().err
    backbone = tmp_path / "backbone.pdparams"
    arrays = read_arrays(finished.weights)
    write_arrays(backbone, {n.removeprefix("backbone."): v for n, v in arrays.items() if n.startswith("backbone.")})
    words[2] = str(backbone)
    assert main([*words, "mask_rcnn_tiny_fpn", "--classes", "a"]) == 2
    assert "finds nothing before it is trained" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_default_weights_are_imagenets_where_they_can_be_had(served: Path) -> None:
    said: list[str] = []
    assert pretrained.locate("", "mask_rcnn_r18_fpn", said.append) == (None, None)
    assert said[-1].startswith("Warning: no ImageNet weights")
    said.clear()
    (served / "ResNet18_pretrained.tar").write_bytes(b"weights")
    file, classes = pretrained.locate("", "mask_rcnn_r18_fpn", said.append)
    assert file is not None
    assert file.read_bytes() == b"weights"
    assert classes is None
    assert "fetching r18-imagenet" in said[0]
    assert pretrained.locate("", "mask_rcnn_r18_fpn", said.append) == (file, None)
    assert len(said) == 1
    assert pretrained.locate("none", "mask_rcnn_r18_fpn", said.append) == (None, None)
    assert pretrained.locate("", "mask_rcnn_tiny_fpn", said.append) == (None, None)
    assert len(said) == 1


def test_an_unreachable_publisher_costs_seconds_and_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(pretrained.MIRROR, "http://127.0.0.1:9")
    monkeypatch.setenv("EDGE_SEG_CACHE", str(tmp_path))
    said: list[str] = []
    assert pretrained.locate("", "mask_rcnn_r50_fpn", said.append) == (None, None)
    assert "can't be reached" in said[0]


def test_a_training_begins_with_imagenets_weights(
    served: Path, finished: Run, train: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    arrays = {n: v for n, v in read_arrays(finished.weights).items() if n.startswith("backbone.")}
    write_arrays(served / "tiny.pdparams", {n.removeprefix("backbone."): v for n, v in arrays.items()})
    address = "http://publisher.invalid/tiny.pdparams"
    entry = pretrained.Pretrained("tiny-imagenet", "mask_rcnn_tiny_fpn", "imagenet", address, 1.0, "a test")
    monkeypatch.setattr(pretrained, "load_table", lambda: (entry,))
    out = tmp_path / "run"
    assert train(out, "--max-steps", 1, "--eval-every", 0) == 0
    said = capsys.readouterr().err
    assert "fetching tiny-imagenet" in said
    assert "frozen: stem, res2" in said
    name = "backbone.conv1.conv1.conv.weight"
    assert np.array_equal(read_arrays(out / "model.pdparams")[name], arrays[name])


def test_a_proxy_is_asked(served: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The server here takes a whole address for a path, as one sends it to a proxy."""
    folder = served / "http:/mirror.invalid/files"
    folder.mkdir(parents=True)
    (folder / "ResNet50_cos_pretrained.pdparams").write_bytes(b"weights")
    monkeypatch.setenv("http_proxy", pretrained.find("r50-imagenet").address.rpartition("/")[0])
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # one that earlier tests made knows no proxy
    monkeypatch.setenv(pretrained.MIRROR, "http://mirror.invalid/files")
    assert main(["weights", "fetch", "r50-imagenet"]) == 0
    assert Path(capsys.readouterr().out.strip()).read_bytes() == b"weights"
