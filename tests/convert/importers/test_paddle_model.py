"""Models from elsewhere: what PaddleDetection and PaddleX export becomes a bundle, or is refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from convert.doctor.imported import examine_imported
from convert.doctor.model import Options as DoctorOptions
from convert.importers import paddle_model
from convert.importers.settings import read_config
from convert.job import Options
from convert.pipeline import make_bundles
from convert.recipe import find_recipe, parse
from edge_seg.bundle import open_bundle
from edge_seg.data.synth import draw
from edge_seg.errors import BundleError, ConversionError, EdgeSegError, UsageError
from edge_seg.runtime.parity import compare
from edge_seg.runtime.preprocess import preprocess
from edge_seg.runtime.segmenter import Segmenter
from tests.conftest import Finished
from tests.convert.importers.elsewhere import INFER_CFG, POST, SIDE, trained, write_elsewhere

pytest.importorskip("paddlelite", reason="needs the extra 'lite'")
pytest.importorskip("yaml", reason="needs the extra 'train'")

MODEL_YML = """\
Model: MaskRCNN
Transforms:
- ResizeByShort: {max_size: 192, short_size: 192, interp: LINEAR}
- Normalize:
    mean: !!python/tuple [0.485, 0.456, 0.406]
    std: [0.229, 0.224, 0.225]
- Padding: {coarsest_stride: 32}
TransformsMode: RGB
_Attributes:
  labels: [circle, triangle, star]
  fixed_input_shape: null
  model_type: detector
version: 2.1.0
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_elsewhere(tmp_path_factory.mktemp("elsewhere") / "model")


@pytest.fixture(scope="module")
def bundles(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles")
    job = paddle_model.imported_job(paddle_model.load(exported, Options()), tmp_path_factory.mktemp("scratch"))
    make_bundles(job, parse("x86-fp32,cpu-fp32,arm-fp32"), out)
    return out


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Callable[..., Path]:
    """``copied(("arch: RCNN", "arch: YOLO"))``: the model with texts in its settings replaced."""

    def make(*changes: tuple[str, str], settings: str = INFER_CFG) -> Path:
        folder = shutil.copytree(exported, tmp_path / "model")
        for old, new in changes:
            assert old in settings
            settings = settings.replace(old, new)
        (folder / "infer_cfg.yml").write_text(settings)
        return folder

    return make


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x86-fp32", "cpu-fp32"])
def test_a_bundle_finds_what_the_layers_find(bundles: Path, name: str) -> None:
    """Against the same weights run as a model of our own, with the host's non-maximum suppression."""
    from edge_seg.train.engine import DynamicEngine

    image = np.asarray(cv2.resize(draw(7, 256, 3)[0], (250, 170)), np.uint8)
    manifest = open_bundle(bundles / name).manifest
    with Segmenter(bundles / name) as segmenter:
        found = segmenter(image)
    own = Segmenter.over(DynamicEngine(trained(), (SIDE, SIDE), 60), manifest.preprocess, POST)(image)
    parity = compare(own, found)
    assert parity.expected == parity.found == parity.matched > 0
    assert parity.mask_iou > 0.9
    assert parity.score < 1e-3


@pytest.mark.slow
def test_nothing_found_is_no_abort(bundles: Path) -> None:
    for name in ("x86-fp32", "cpu-fp32"):
        with Segmenter(bundles / name) as segmenter:
            assert len(segmenter(np.zeros((64, 100, 3), np.uint8))) == 0


@pytest.mark.slow
def test_the_manifest_tells_where_it_came_from(bundles: Path) -> None:
    manifest = open_bundle(bundles / "arm-fp32").manifest
    assert list(manifest.graphs) == ["full"]
    assert [tensor.name for tensor in manifest.graphs["full"].inputs] == ["image", "im_shape"]
    assert manifest.classes == ("circle", "triangle", "star")
    assert manifest.preprocess.size == (SIDE, SIDE)
    assert manifest.postprocess.score_threshold == pytest.approx(0.3)
    assert manifest.source["exported_by"] == "PaddleDetection"
    assert manifest.verification["instances"] == manifest.verification["matched"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["x86-fp32", "cpu-fp32"])
def test_every_command_takes_such_a_bundle(
    edge_seg: Callable[..., Finished], bundles: Path, tmp_path: Path, recipe: str
) -> None:
    bundle = bundles / recipe
    image = bundle / "golden" / "image.png"
    for line in (["verify", bundle], ["doctor", bundle], ["bundle", "check", bundle], ["predict", bundle, image]):
        out = ["--out", tmp_path / "out"] if line[0] == "predict" else []
        done = edge_seg(*line, *out)
        assert done.returncode == 0, done.stdout + done.stderr
    with pytest.raises(UsageError, match="the graph itself decides"):
        Segmenter(bundle, instances=3)
    with Segmenter(bundle, engine="null") as segmenter:
        assert len(segmenter(image)) == 0


@pytest.mark.slow
def test_an_altered_manifest_is_refused(bundles: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(bundles / "x86-fp32", tmp_path / "bundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["graphs"]["full"]["outputs"].pop()
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="outputs of the graph 'full'"):
        Segmenter(bundle)


@pytest.mark.slow
def test_the_command_line(edge_seg: Callable[..., Finished], copied: Callable[..., Path], tmp_path: Path) -> None:
    """PaddleX's settings, an input size left open, and an image of the user's."""
    folder = copied()
    (folder / "infer_cfg.yml").unlink()
    write_elsewhere(folder, MODEL_YML, "model.yml", open_sides=True)
    cv2.imwrite(str(tmp_path / "golden.png"), draw(7, 256, 3)[0])
    done = edge_seg(
        *("convert", folder, "--recipe", "cpu-fp32", "--size", SIDE, "--golden", tmp_path / "golden.png"),
        *("--out", tmp_path / "bundle", "--json"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bundles"][0]["verification"]["instances"] > 0
    assert open_bundle(tmp_path / "bundle").manifest.source["exported_by"] == "PaddleX"


@pytest.mark.slow
def test_the_doctor_proves_it(exported: Path) -> None:
    report = examine_imported(exported, DoctorOptions("x86"))
    assert report.verdict == "fine", str(report)
    assert "scaling the boxes and pasting the masks is left to the runtime" in str(report).replace("\n" + " " * 11, " ")


@pytest.mark.parametrize(
    ("options", "code"),
    [({"fake": False}, "zero-boxes"), ({"pasted": False}, "")],
)
def test_programs_of_other_kinds(tmp_path: Path, options: dict[str, Any], code: str) -> None:
    folder = write_elsewhere(tmp_path / "model", **options)
    if not code:
        assert len(paddle_model.load(folder, Options()).cut.program.outputs) == 2
        return
    with pytest.raises(ConversionError) as caught:
        paddle_model.load(folder, Options())
    assert caught.value.code == code
    assert "export_onnx=True" in caught.value.remedy
    assert examine_imported(folder, DoctorOptions()).verdict == "broken"


def test_programs_that_hold_branches_are_refused(tmp_path: Path) -> None:
    folder = write_elsewhere(tmp_path / "model", branched=True)
    with pytest.raises(ConversionError, match="loops and branches") as caught:
        paddle_model.load(folder, Options())
    assert "--weights" in caught.value.remedy


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("arch: RCNN", "arch: YOLO"), "the model is a YOLO, and bundles are of Mask R-CNN"),
        (("mask: true", "mask: false"), "the model is a RCNN without masks"),
        (("- type: Permute", "- type: WarpAffine"), "WarpAffine, which edge-seg doesn't do"),
        (("interp: 1", "interp: 2"), "interp 2, not 1"),
        (("- circle", "- [circle"), "can't be used"),
        (("arch: RCNN\n", ""), "'arch' is missing"),
        (("label_list:\n- circle\n- triangle\n- star\n", "label_list: []\n"), "expected names, each once"),
        (("- triangle", "- circle"), "circle, circle, star: expected names, each once"),
        (("- star\n", ""), "2 names of classes, but the model tells 3 apart"),
        (("- star\n", "- star\n- moon\n"), "4 names of classes, but the model tells 3 apart"),
        (("  - 0.485\n", "  - .nan\n"), "mean [nan, 0.456, 0.406]: expected three numbers"),
        (("  - 0.485\n", ""), "mean [0.456, 0.406]: expected three numbers"),
        (("  - 0.229\n", "  - 0\n"), "expected above 0"),
        (("- type: Permute", "- Permute"), "'Permute' where settings by name should be"),
        (("  target_size:\n  - 192\n  - 192\n", "  target_size: .inf\n"), "target_size inf: expected"),
        (
            ("  target_size:\n  - 192\n  - 192\n", "  target_size: [-4, 0]\n"),
            "target_size [-4, 0]: expected",
        ),
        (("mode: paddle", "mode: !!python/object/apply:os.system ['true']"), "can't be used"),
    ],
)
def test_settings_that_cannot_be_used_are_named(
    copied: Callable[..., Path], change: tuple[str, str], said: str
) -> None:
    with pytest.raises(ConversionError) as caught:
        paddle_model.load(copied(change), Options())
    assert said in caught.value.message
    assert "--raw" in caught.value.remedy


def test_another_size_than_exported_is_refused(exported: Path) -> None:
    with pytest.raises(UsageError, match="exported for 192x192"):
        paddle_model.load(exported, Options(size=(320, 320)))


def test_what_the_graph_has_fixed_cannot_be_set(exported: Path) -> None:
    with pytest.raises(UsageError, match="--proposals: fixed in the exported model"):
        paddle_model.load(exported, Options(proposals=10))


@pytest.mark.slow
def test_an_image_that_proves_nothing_is_refused(
    edge_seg: Callable[..., Finished], exported: Path, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((64, 64, 3), np.uint8))
    words = ("convert", exported, "--recipe", "cpu-fp32", "--out", tmp_path / "out", "--golden")
    done = edge_seg(*words, tmp_path / "black.png")
    assert (done.returncode, (tmp_path / "out").exists()) == (1, False)
    assert "black.png: the model finds nothing in it" in done.stderr
    done = edge_seg(*words, exported / "none.png", "--keep", "200")
    assert "--keep 200: the model itself keeps 100 at most" in done.stderr


def test_other_recipes_start_from_a_run() -> None:
    with pytest.raises(UsageError, match="onnx-fp32"):
        paddle_model.check_recipes([find_recipe("onnx-fp32")])


def test_a_pir_program_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"base_code": {"magic": "pir"}, "program": {}}')
    (tmp_path / "infer_cfg.yml").write_text(INFER_CFG)
    with pytest.raises(ConversionError, match="PIR") as caught:
        paddle_model.load(tmp_path, Options())
    assert "paddle 2.6" in caught.value.remedy


def test_a_model_without_settings_is_told(edge_seg: Callable[..., Finished], exported: Path, tmp_path: Path) -> None:
    for name in ("model.pdmodel", "model.pdiparams"):
        shutil.copy(exported / name, tmp_path)
    done = edge_seg("convert", tmp_path / "model.pdmodel", "--recipe", "arm-fp32", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "infer_cfg.yml" in done.stderr
    assert "--raw" in done.stderr


def test_settings_of_both_libraries(tmp_path: Path) -> None:
    (tmp_path / "infer_cfg.yml").write_text(INFER_CFG)
    (tmp_path / "model.yml").write_text(MODEL_YML)
    for name in ("infer_cfg.yml", "model.yml"):
        config = read_config(tmp_path / name)
        assert config.is_mask_rcnn
        assert config.classes == ("circle", "triangle", "star")
        assert (config.size, config.stretch, config.color) == ((192, 192), False, "RGB")
        assert config.mean == pytest.approx((0.485, 0.456, 0.406))


@pytest.mark.parametrize(
    ("step", "mean", "std"),
    [
        ("is_scale: true, mean: [0.4, 0.5, 0.6], std: [0.1, 0.2, 0.3]", (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)),
        ("is_scale: false, mean: [102, 51, 0], std: [51, 51, 51]", (0.4, 0.2, 0.0), (0.2, 0.2, 0.2)),
        ("is_scale: true, norm_type: none, mean: [9, 9, 9], std: [9, 9, 9]", (0, 0, 0), (1, 1, 1)),
    ],
)
def test_normalising(
    tmp_path: Path, step: str, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> None:
    settings = f"arch: RCNN\nmask: true\nlabel_list: [a]\nPreprocess:\n- {{type: NormalizeImage, {step}}}\n"
    (tmp_path / "infer_cfg.yml").write_text(settings)
    config = read_config(tmp_path / "infer_cfg.yml")
    assert config.mean == pytest.approx(mean)
    assert config.std == pytest.approx(std)


def test_a_stretched_image_fills_the_input(copied: Callable[..., Path]) -> None:
    config = read_config(copied(("keep_ratio: true", "keep_ratio: false")) / "infer_cfg.yml")
    blob, geometry = preprocess(np.full((40, 90, 3), 255, np.uint8), config.preprocess((64, 96)))
    assert (geometry.scaled_height, geometry.scaled_width) == (64, 96)
    assert (geometry.scale_x, geometry.scale_y) == (96 / 90, 64 / 40)
    assert (blob != 0).all()


def test_damaged_weights_are_refused(copied: Callable[..., Path], tmp_path: Path) -> None:
    folder = copied()
    content = (folder / "model.pdiparams").read_bytes()
    (folder / "model.pdiparams").write_bytes(content[: len(content) // 2])
    with pytest.raises(EdgeSegError, match="doesn't hold the program's weights"):
        paddle_model.imported_job(paddle_model.load(folder, Options()), tmp_path)
