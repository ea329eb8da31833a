"""What a training begins with: weights of this very model, in whatever form, or a clear refusal."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.errors import DataError
from edge_seg.paddle_env import paddle
from edge_seg.train import fluid
from edge_seg.train.initial import LoadReport, Source, load, read_source
from edge_seg.train.run import Run
from edge_seg.train.weights import build, read_arrays, write_arrays

from . import old_weights

TINY = "mask_rcnn_tiny_fpn"
NAMES = ("circle", "square", "triangle")


def arrays_of(name: str, classes: int = 3, seed: int = 1) -> dict[str, Any]:
    paddle.seed(seed)
    return {key: np.array(value) for key, value in build(name, classes, False).state_dict().items()}


def load_into(name: str, arrays: dict[str, Any], **options: Any) -> tuple[Any, LoadReport]:
    paddle.seed(2)
    model = build(name, 3, False)
    return model, load(model, Source(Path("weights.pdparams"), arrays), NAMES, **options)


@pytest.mark.parametrize(
    ("file", "model", "words"),
    [
        ("mask_rcnn_r50_fpn", "mask_rcnn_r18_fpn", "another shape"),
        ("mask_rcnn_r18_fpn", "mask_rcnn_r50_fpn", "another shape"),
        ("mask_rcnn_r18_fpn", TINY, "another shape"),
    ],
)
def test_another_models_weights_are_refused_and_loaded_in_part_only_when_asked(
    file: str, model: str, words: str
) -> None:
    arrays = arrays_of(file)
    with pytest.raises(DataError, match=f"weights of another model.*{words}"):
        load_into(model, arrays)
    backbone = {n.removeprefix("backbone."): v for n, v in arrays.items() if n.startswith("backbone.")}
    with pytest.raises(DataError, match=r"weights of another model|none of its arrays"):
        load_into(model, backbone)
    _, report = load_into(model, arrays, partial=True)
    assert report.loaded
    assert report.other_shape


def test_a_deeper_backbone_is_refused_though_all_that_is_needed_fits() -> None:
    """A ResNet34 holds all of a ResNet18, and more."""
    arrays = arrays_of(TINY)
    deeper = {n.replace("res2b", "res2c"): v for n, v in arrays.items() if "res2b" in n}
    with pytest.raises(DataError, match="of no use to the model: backbone.res2.res2c"):
        load_into(TINY, {**arrays, **deeper})


def test_a_part_of_a_detector_is_refused() -> None:
    arrays = {n: v for n, v in arrays_of(TINY).items() if not n.startswith("mask_head.")}
    with pytest.raises(DataError, match="of the model are missing: mask_head"):
        load_into(TINY, arrays)
    assert all(n.startswith("mask_head.") for n in load_into(TINY, arrays, partial=True)[1].missing)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    arrays = arrays_of(TINY)
    arrays["neck.fpn_res2_sum.weight"][0, 0, 0, 0] = value
    with pytest.raises(DataError, match="neck.fpn_res2_sum.weight: 1 of"):
        load_into(TINY, arrays, partial=True)


def test_a_backbone_with_its_classifier_is_taken() -> None:
    arrays = arrays_of(TINY)
    backbone = {n.removeprefix("backbone."): v for n, v in arrays.items() if n.startswith("backbone.")}
    model, report = load_into(TINY, {**backbone, "fc.weight": np.zeros((2, 2), np.float32)})
    assert len(report.loaded) == len(backbone)
    assert report.unused == ["backbone.fc.weight"]
    assert all(np.array_equal(model.state_dict()[n], arrays[n]) for n in report.loaded)


def test_half_precision_is_widened_and_whole_numbers_are_refused() -> None:
    arrays = {n: v.astype(np.float16) for n, v in arrays_of(TINY).items()}
    model, _ = load_into(TINY, arrays)
    name = "bbox_head.head.fc6.bias"
    np.testing.assert_array_equal(np.array(model.state_dict()[name]), arrays[name].astype(np.float32))
    arrays[name] = arrays[name].astype(np.int64)
    with pytest.raises(DataError, match="int64"):
        load_into(TINY, arrays)


def test_nothing_that_fits_is_an_error_even_in_part() -> None:
    with pytest.raises(DataError, match=r"none of its arrays \(1\).*layer\.weight"):
        load_into(TINY, {"layer.weight": np.zeros(2, np.float32)}, partial=True)


def test_other_numbers_of_classes_are_named_and_left_untrained() -> None:
    arrays = arrays_of(TINY, classes=5)
    _, report = load_into(TINY, arrays)
    assert {n.rsplit(".", 1)[0] for n in report.other_classes} == {
        "bbox_head.bbox_score",
        "bbox_head.bbox_delta",
        "mask_head.mask_fcn_logits",
    }
    assert any("5 classes in the file, 3 in the model" in line for line in report.lines(Path("x")))


def test_known_classes_keep_their_weights_whatever_their_place() -> None:
    theirs = ("triangle", "star", "square", "heart")
    arrays = arrays_of(TINY, classes=4)
    paddle.seed(2)
    model = build(TINY, 3, False)
    fresh = {n: np.array(v) for n, v in model.state_dict().items()}
    report = load(model, Source(Path("x"), arrays, theirs), NAMES)
    assert report.kept_classes == ("square", "triangle")
    after = {n: np.array(v) for n, v in model.state_dict().items()}
    scores, deltas = "bbox_head.bbox_score.weight", "bbox_head.bbox_delta.weight"
    masks = "mask_head.mask_fcn_logits.weight"
    np.testing.assert_array_equal(after[scores][:, 1:], arrays[scores][:, [2, 0, 4]])
    np.testing.assert_array_equal(after[scores][:, 0], fresh[scores][:, 0])
    np.testing.assert_array_equal(after[deltas][:, 4:12], arrays[deltas][:, [8, 9, 10, 11, 0, 1, 2, 3]])
    np.testing.assert_array_equal(after[masks][1:], arrays[masks][[2, 0]])
    np.testing.assert_array_equal(after[masks][0], fresh[masks][0])


@pytest.mark.parametrize("name", ["mask_rcnn_r18_fpn", "mask_rcnn_r50_fpn", "mask_rcnn_hrnet_fpn"])
def test_paddlex_1_names_and_its_place_of_the_background(name: str) -> None:
    arrays = arrays_of(name)
    old = old_weights.as_old(arrays)
    assert len(old) == len(arrays)
    model, report = load_into(name, old)
    assert not report.missing
    assert not report.unused
    assert all(np.array_equal(value, arrays[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("backbone.conv1.conv1.conv.weight", "conv1_weights"),
        ("backbone.conv1.conv1.norm._mean", "bn_conv1_mean"),
        ("backbone.res2.res2a.short.conv.weight", "res2a_branch1_weights"),
        ("backbone.res4.res4f.branch2c.norm._variance", "bn4f_branch2c_variance"),
        ("backbone.la1.block_layer2_1.conv_down.norm.bias", "layer2_1_downsample_bn_offset"),
        ("backbone.tr2.transition_tr2_layer_3.conv.weight", "tr2_layer_3_weights"),
        (
            "backbone.st4.stage_st4_3.branches_func.bb_st4_3_branch_layer_4_4.conv2.conv.weight",
            "st4_3_branch_layer_4_4_conv2_weights",
        ),
        ("backbone.st3.stage_st3_1.fuse_func.residual_st3_1_layer_3_1_2.norm.weight", "st3_1_layer_3_1_2_bn_scale"),
        ("neck.fpn_inner_res2_sum_lateral.bias", "fpn_inner_res2_sum_lateral_b"),
        ("neck.fpn_conv_4.weight", "shared_fpn_conv_4_weights"),
        ("rpn_head.rpn_rois_score.weight", "rpn_cls_logits_fpn2_w"),
        ("mask_head.head.upsample.conv5_mask.weight", "conv5_mask_w"),
    ],
)
def test_paddlex_1_names(name: str, old: str) -> None:
    assert fluid.old_name(name) == old


def test_a_folder_and_an_archive_of_1x_variables(tmp_path: Path) -> None:
    arrays = arrays_of(TINY)
    folder = tmp_path / "in/ResNet18_pretrained"
    old_weights.write_folder(folder, old_weights.as_old(arrays))
    archive = tmp_path / "ResNet18_pretrained.tar"
    with tarfile.open(archive, "w") as tarred:
        tarred.add(folder, folder.name)
    for path in (folder, archive):
        model, report = load_into(TINY, read_source(path).arrays)
        assert len(report.loaded) == len(arrays)
        assert all(np.array_equal(value, arrays[key]) for key, value in model.state_dict().items())
    (folder / "conv1_weights").write_bytes((folder / "conv1_weights").read_bytes()[:-1])
    with pytest.raises(DataError, match="conv1_weights: not a variable"):
        read_source(folder)


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 20, b"\x00" * 12 + b"\xff" * 40, old_weights.variable(np.ones(3))[:-1]]
)
def test_damaged_variables_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match="not a variable of PaddlePaddle 1.x"):
        fluid.read_variable(tmp_path / "x")


def test_a_run_brings_its_class_names(finished: Run, tmp_path: Path) -> None:
    assert read_source(finished.path).classes == finished.config.classes
    assert read_source(finished.weights).classes == finished.config.classes
    bare = tmp_path / "model.pdparams"
    shutil.copyfile(finished.weights, bare)
    assert read_source(bare).classes is None
    assert read_source(bare).arrays.keys() == read_arrays(finished.weights).keys()
    with pytest.raises(DataError, match="holds no weights"):
        (tmp_path / "empty").mkdir()
        read_source(tmp_path / "empty")


def test_the_demos_weights_load_as_ever() -> None:
    file = Path(__file__).parents[2] / "weights/mask_rcnn_tiny_fpn_shapes.pdparams"
    model = build(TINY, 3, False)
    report = load(model, read_source(file), NAMES)
    assert len(report.loaded) == len(model.state_dict())


def test_written_weights_are_read_back(tmp_path: Path) -> None:
    arrays = arrays_of(TINY)
    write_arrays(tmp_path / "x.pdparams", arrays)
    assert all(np.array_equal(v, arrays[n]) for n, v in read_source(tmp_path / "x.pdparams").arrays.items())
