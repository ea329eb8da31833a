"""Weights files: taken as far as they fit, never trusted."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from edge_seg.errors import DataError
from edge_seg.paddle_env import paddle
from edge_seg.train.run import Run
from edge_seg.train.weights import build, load_partly, read_arrays, write_arrays


def test_heads_of_another_number_of_classes_are_left_out(finished: Run) -> None:
    model = build("mask_rcnn_tiny_fpn", 7, False)
    report = load_partly(model, finished.weights)
    assert {name.rsplit(".", 1)[0] for name in report.other_classes} == {
        "bbox_head.bbox_score",
        "bbox_head.bbox_delta",
        "mask_head.mask_fcn_logits",
    }
    assert not report.missing
    assert not report.unused
    trained = read_arrays(finished.weights)
    state = model.state_dict()
    assert all(np.array_equal(state[name].numpy(), trained[name]) for name in report.loaded)
    assert any("another number of classes" in line for line in report.lines(finished.weights))


def test_a_backbone_alone_is_taken_too(finished: Run, tmp_path: Path) -> None:
    whole = read_arrays(finished.weights)
    file = tmp_path / "backbone.pdparams"
    part = {n.removeprefix("backbone."): paddle.to_tensor(v) for n, v in whole.items() if n.startswith("backbone.")}
    write_arrays(file, {**part, "fc.weight": paddle.zeros([2, 2])})
    report = load_partly(build("mask_rcnn_tiny_fpn", 3, False), file)
    assert len(report.loaded) == len(part)
    assert report.unused == ["fc.weight"]


def test_other_shapes_are_reported_not_forced(tmp_path: Path) -> None:
    model = build("mask_rcnn_tiny_fpn", 3, False)
    name = "bbox_head.head.fc6.weight"
    file = tmp_path / "part.pdparams"
    write_arrays(file, {name: paddle.zeros([2, 2]), "bbox_head.head.fc6.bias": model.state_dict()[name[:-6] + "bias"]})
    assert load_partly(model, file).other_shape == [name]


def test_weights_that_fit_nowhere_are_an_error(tmp_path: Path) -> None:
    file = tmp_path / "other.pdparams"
    write_arrays(file, {"layer.weight": paddle.zeros([2])})
    with pytest.raises(DataError, match=r"none of its 1 arrays.*layer\.weight"):
        load_partly(build("mask_rcnn_tiny_fpn", 3, False), file)


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code from a weights file was run')",)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps({"a": _Bomb()}), pickle.dumps([1, 2])])
def test_files_that_are_no_weights_are_refused_unrun(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "bad.pdparams"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.pdparams"):
        read_arrays(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_arrays(tmp_path / "absent.pdparams")
