"""The stages of verify: a sound bundle passes, and every planted fault is found and its stage named."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from convert.artifacts import Job
from convert.job import Options, layers, random_job, run_job
from convert.pipeline import make_bundles
from convert.recipe import find_recipe
from convert.verify import verify
from convert.verify.verify import verify_bundle
from edge_seg.bundle import MANIFEST, SIGNATURE, open_bundle
from edge_seg.cli import main
from edge_seg.data import synth
from edge_seg.errors import RunError, UsageError
from edge_seg.files import sha256
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.pages.verify import make_page
from edge_seg.runtime import preprocess
from edge_seg.train.run import RunConfig, TrainSettings, write_config
from edge_seg.train.weights import write_arrays
from edge_seg.verification import Report, StageResult

pytest.importorskip("paddlelite", reason="needs the extra 'lite'")

FAST = verify.Options(fail_fast=True)
Finished = subprocess.CompletedProcess[str]
Plant = Callable[..., Path]
WEIGHT = "neck.fpn_res2_sum.weight"


@pytest.fixture
def plant(tiny_bundles: Path, tmp_path: Path, job: Job) -> Plant:
    """``plant(preprocess={"color": "BGR"})`` copies a bundle and plants faults in it; its hashes are right again.

    ``golden`` changes the golden result, ``weight`` names one of which a value is edited, ``cut`` a file that is cut
    short. With ``source_known=False`` the random weights can't be made again.
    """

    def make(
        recipe: str = "x86-fp32",
        preprocess: dict[str, Any] | None = None,
        postprocess: dict[str, Any] | None = None,
        golden: Callable[[Any], Any] | None = None,
        weight: str = "",
        cut: str = "",
        source_known: bool = True,
    ) -> Path:
        folder = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(tiny_bundles / recipe, folder)
        if golden:
            edit_json(folder / "golden" / "expected.json", golden)
        if weight:
            edit_weight(folder / "trunk.nb", layers(job).network.state_dict()[weight].numpy())
        if cut:
            (folder / cut).write_bytes((folder / cut).read_bytes()[:5000])

        def change(manifest: Any) -> None:
            manifest["preprocess"].update(preprocess or {})
            manifest["postprocess"].update(postprocess or {})
            if not source_known:
                manifest["source"].pop("seed")
            for files in [manifest["golden"]["files"], *(graph["files"] for graph in manifest["graphs"].values())]:
                files.update({name: sha256(folder / name) for name in files})

        edit_json(folder / MANIFEST, change)
        return folder

    return make


def edit_json(file: Path, change: Callable[[Any], Any]) -> None:
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


def edit_weight(nb: Path, values: np.ndarray) -> None:
    """Adds 1 to the first of ``values`` where it stands in the file."""
    content = nb.read_bytes()
    value = values.ravel()[:1].tobytes()
    assert content.count(value) == 1
    nb.write_bytes(content.replace(value, struct.pack("<f", struct.unpack("<f", value)[0] + 1)))


def first(report: Report) -> tuple[str, str]:
    """Names of the first stage out of tolerance and of its first such tensor."""
    assert report.first is not None
    return report.first[0].name, report.first[1].tensor


def stage(report: Report, name: str) -> StageResult:
    return next(item for item in report.stages if item.name == name)


def note(report: Report) -> str:
    assert report.first is not None
    return report.first[1].note


# Planted faults, with the model at hand


def test_bgr_for_rgb(plant: Plant) -> None:
    report = verify_bundle(plant(preprocess={"color": "BGR"}), FAST)
    assert first(report) == ("preprocessing", "image")
    assert "red and blue are swapped" in note(report)
    assert stage(report, "preprocessing").shown is not None
    assert stage(report, "host").skipped


@pytest.mark.parametrize("levels", [1, -1])
def test_mean_shifted_by_one_level(plant: Plant, levels: int) -> None:
    mean = [0.485, 0.456 + levels / 255, 0.406]
    report = verify_bundle(plant(preprocess={"mean": mean}), FAST)
    assert first(report) == ("preprocessing", "image")
    assert f"G {levels:+d}.0" in note(report)


def with_aligned_corners(image: np.ndarray, width: int, height: int) -> np.ndarray:
    x, y = (
        np.arange(new, dtype=np.float32) * ((old - 1) / max(1, new - 1))
        for new, old in ((width, image.shape[1]), (height, image.shape[0]))
    )
    return cv2.remap(image, np.tile(x, (height, 1)), np.tile(y[:, None], (1, width)), cv2.INTER_LINEAR)


def with_nearest(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST)


@pytest.mark.parametrize(
    ("resize", "said"), [(with_aligned_corners, "aligned corners"), (with_nearest, "nearest pixel")]
)
def test_a_resize_with_other_corners(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, resize: Callable[..., np.ndarray], said: str
) -> None:
    monkeypatch.setattr(preprocess, "resize", resize)
    report = verify_bundle(plant(), FAST)
    assert first(report) == ("preprocessing", "image")
    assert said in note(report)


@pytest.mark.parametrize("std", [[0.229, 0.224, 0.235], [0.229, 0.2245, 0.225]])
def test_another_deviation(plant: Plant, std: list[float]) -> None:
    report = verify_bundle(plant(preprocess={"std": std}), FAST)
    assert first(report) == ("preprocessing", "image")
    assert "its source 0.229, 0.224, 0.225" in note(report)


@pytest.mark.parametrize("limit", [0.45, 0.501])
def test_a_slightly_other_nms_threshold(plant: Plant, limit: float) -> None:
    report = verify_bundle(plant(postprocess={"nms_iou": limit}), FAST)
    assert first(report)[0] == "postprocessing"
    assert f"nms_iou {limit}, its source 0.5" in note(report)


def test_another_nms_threshold(plant: Plant) -> None:
    report = verify_bundle(plant(postprocess={"nms_iou": 0.6}), FAST)
    assert first(report) == ("postprocessing", "kept boxes")
    assert "nms_iou 0.6, its source 0.5" in note(report)
    assert stage(report, "postprocessing").shown is not None
    assert stage(report, "golden").fault is None


@pytest.mark.slow
def test_a_flat_image_whose_proposals_are_all_equal(tmp_path: Path) -> None:
    """Engines choose differently among equals, which is nobody's fault."""
    job = random_job("mask_rcnn_tiny_fpn", 0, 80, Options(size=(512, 512)))
    make_bundles(job, [find_recipe("x86-fp32")], tmp_path / "bundle")
    flat = tmp_path / "flat.png"
    cv2.imwrite(str(flat), np.full((2000, 100, 3), 128, np.uint8))
    assert verify_bundle(tmp_path / "bundle", verify.Options(images=(flat,))).first is None


def test_a_setting_without_effect_on_these_images(plant: Plant) -> None:
    report = verify_bundle(plant(postprocess={"mask_threshold": 0.6}), FAST)
    assert first(report) == ("postprocessing", "settings")


def test_a_stale_golden_file(plant: Plant) -> None:
    path = plant(golden=lambda told: told["instances"].pop())
    assert first(verify_bundle(path, FAST)) == ("golden", "instances")


def test_a_golden_file_of_another_kind(plant: Plant) -> None:
    path = plant(golden=lambda told: told["instances"][0].update(box=[1, 2]))
    report = verify_bundle(path, FAST)
    assert first(report) == ("golden", "golden file")


@pytest.mark.parametrize(("field", "value"), [("recipe", "nonsense"), ("precision", "w8"), ("target", "arm")])
def test_a_recipe_that_isnt_the_bundles(plant: Plant, field: str, value: str) -> None:
    """What is judged by the recipe would pass unseen."""
    path = plant()
    edit_json(path / MANIFEST, lambda told: told.update({field: value}))
    report = verify_bundle(path, FAST)
    assert first(report) == ("files", "recipe")
    assert value in note(report)


def test_what_a_board_is_told_to_have(plant: Plant) -> None:
    """By it, a board refuses a bundle that its library would abort on."""
    path = plant()
    edit_json(path / MANIFEST, lambda told: told["optimizer"].update(requires=[]))
    report = verify_bundle(path, FAST)
    assert first(report) == ("files", "recipe")
    assert "optimizer.requires is []" in note(report)


def test_another_place_of_the_pyramid(plant: Plant) -> None:
    """Where no box lies near a level's limit, nothing else shows it."""
    path = plant()
    edit_json(path / MANIFEST, lambda told: told.update(canonical_size=told["canonical_size"] + 1))
    report = verify_bundle(path, FAST)
    assert first(report) == ("postprocessing", "settings")
    assert "canonical_size" in note(report)


@pytest.mark.slow
def test_a_graph_that_cant_be_loaded_is_named(plant: Plant) -> None:
    report = verify_bundle(plant(cut="box_head.nb"), FAST)
    assert first(report) == ("host", "run")
    assert "box_head.nb" in note(report)


def test_a_golden_image_that_cant_be_read(plant: Plant) -> None:
    """Its hash is right, so only difference it tells."""
    path = plant(cut="golden/image.png")
    report = verify_bundle(path, FAST)
    assert first(report) == ("golden", "golden file")
    assert "image.png" in note(report)
    assert stage(report, "host").skipped
    assert "golden file" in make_page(report).html()


@pytest.mark.slow
def test_a_weight_edited_in_the_nb(plant: Plant) -> None:
    report = verify_bundle(plant(weight=WEIGHT), verify.Options())
    assert first(report) == ("host", "p2")
    assert "with other bytes: it was edited" in note(report)
    assert stage(report, "exported").fault is None


@pytest.mark.slow
def test_a_weight_edited_in_a_nb_that_only_a_board_can_run(plant: Plant) -> None:
    report = verify_bundle(plant("arm-fp32", weight=WEIGHT), FAST)
    assert first(report) == ("host", "trunk.nb")
    assert "it was edited" in note(report)


# What a bundle alone can tell


def test_files_that_are_not_the_manifests(plant: Plant) -> None:
    path = plant()
    (path / "trunk.nb").write_bytes((path / "mask_head.nb").read_bytes())
    report = verify_bundle(path, FAST)
    assert first(report) == ("files", "trunk.nb")
    assert [item.name for item in report.stages if not item.skipped] == ["files"]


def test_a_bundle_alone_is_held_against_its_golden_result(plant: Plant) -> None:
    report = verify_bundle(plant(source_known=False), verify.Options())
    assert report.first is None
    assert stage(report, "paddle").skipped
    assert stage(report, "golden").against == "host"


@pytest.mark.parametrize("edit", [{"preprocess": {"color": "BGR"}}, {"postprocess": {"nms_iou": 0.6, "keep": 1}}])
def test_a_bundle_alone_no_longer_gives_its_golden_result(plant: Plant, edit: dict[str, Any]) -> None:
    report = verify_bundle(plant(source_known=False, **edit), verify.Options())
    assert report.first is not None
    assert report.first[0].name == "golden"
    assert "other than they were: --run tells which" in note(report)


def test_a_library_that_dies_is_a_fault_of_its_stage(plant: Plant) -> None:
    report = verify_bundle(plant(source_known=False, cut="mask_head.nb"), verify.Options())
    assert first(report) == ("host", "run")
    assert "was killed by" in note(report)


def test_an_arm_bundle_alone_proves_nothing(plant: Plant) -> None:
    with pytest.raises(UsageError, match=r"nothing of the model could be run.*can't run here"):
        verify_bundle(plant("arm-fp32", source_known=False), verify.Options())


# The whole way


@pytest.mark.slow
def test_a_sound_bundle_passes_every_stage(
    tiny_bundles: Path, tmp_path: Path, edge_seg: Callable[..., Finished]
) -> None:
    cv2.imwrite(str(tmp_path / "a <b>.png"), synth.draw(5, 150, 2)[0][:100])
    html = tmp_path / "report.html"
    runner = f"{sys.executable} -m edge_seg.runtime.runner"
    words = ["--json", "--images", "a <b>.png", "--html", html, "--runner", runner]
    done = edge_seg("verify", tiny_bundles / "x86-fp32", *words)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["passed"]
    assert told["first"] is None
    expected = [name for name in verify.TITLES if name != "rounded"]  # which is for bundles of lower precision
    assert {item["name"]: item["status"] for item in told["stages"]} == dict.fromkeys(expected, "ok")
    host, device = told["stages"][-2:]
    assert (host["against"], device["against"]) == ("exported", "host")
    tensors = [item["tensor"] for item in host["differences"]]
    assert tensors[:6] == ["p2", "p3", "p4", "p5", "proposals", "scores"]
    assert {"kept boxes", "masks", "second run", "trunk.nb", "box_head.nb", "mask_head.nb"} < set(tensors)
    assert "every stage within its tolerance" not in done.stdout
    check_page(
        html.read_text(encoding="utf-8"),
        "Every stage that was run is within its tolerance",
        "the device, through its runner",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a <b>.png", "report.html"]


def check_page(page: str, *texts: str) -> None:
    """It says what it should; that it needs no other file, tests/pages and test_html.py see in a browser."""
    for text in texts:
        assert text in page


def test_a_fault_on_the_command_line(plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html = tmp_path / "report.html"
    path = plant(postprocess={"nms_iou": 0.6})
    before = open_bundle(path).id
    assert main(["verify", str(path), "--fail-fast", "--write", "--html", str(html)]) == 1
    said = capsys.readouterr()
    image = tmp_path / "report-postprocessing-kept-boxes.png"
    assert "the first stage out of tolerance: postprocessing, its first tensor: kept boxes" in said.out
    assert str(image) in said.out
    assert cv2.imread(str(image)) is not None
    assert "preprocessing" in said.err
    page = html.read_text(encoding="utf-8")
    check_page(page, "The first stage that differs: postprocessing", "nms_iou 0.6, its source 0.5")
    changed = open_bundle(path)
    told = changed.manifest.verification["stages"]
    assert (told["passed"], told["first"]) == (False, ["postprocessing", "kept boxes"])
    assert told["stages"]["postprocessing"]["status"] == "failed"
    assert changed.id != before


def test_the_summary_of_a_bundle_that_is_not_whole_or_signed_is_not_written(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    path = plant()
    manifest = (path / MANIFEST).read_bytes()
    (path / SIGNATURE).write_text("{}")
    assert main(["verify", str(path), "--write"]) == 2
    assert "is signed" in capsys.readouterr().err
    (path / SIGNATURE).unlink()
    (path / "mask_head.nb").unlink()
    assert main(["verify", str(path), "--write"]) == 1
    assert (path / MANIFEST).read_bytes() == manifest


def test_the_report_replaces_nothing_that_is_verified(
    plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, image = plant(), tmp_path / "photo.png"
    cv2.imwrite(str(image), synth.draw(5, 150, 2)[0])
    inputs = [path / MANIFEST, image]
    before = [sha256(file) for file in inputs]
    for html in (*inputs, path / "report.html", path / "golden" / "report.html"):
        assert main(["verify", str(path), "--images", str(image), "--html", str(html)]) == 2
        assert str(html) in capsys.readouterr().err
    assert [sha256(file) for file in inputs] == before
    assert not list(path.rglob("report.html"))


def test_folders_of_images_are_read_as_predict_does(
    plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, photos = plant(), tmp_path / "photos"
    (photos / "dir.jpg").mkdir(parents=True)
    words = ["verify", str(path), "--fail-fast", "--json", "--images", str(photos)]
    assert main(words) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "image-missing"


@pytest.fixture(scope="module")
def run(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the job's weights and the generated set's classes."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    config = RunConfig(
        model=job.zoo_model,
        classes=synth.CLASSES,
        category_ids=(1, 2, 3),
        preprocess=PreprocessSpec((96, 128), color="BGR", mean=(0.4, 0.5, 0.6)),
        postprocess=PostprocessSpec(nms_iou=0.4),
        settings=TrainSettings(1, 1, 0.1, 0, (), 0),
        data="shapes",
        data_sha256="",
    )
    write_config(folder, config)
    write_arrays(folder / "model.pdparams", layers(job).network.state_dict())
    cv2.imwrite(str(folder / "golden.png"), synth.draw(1, 160, 3)[0])
    return folder


@pytest.mark.slow
def test_a_bundle_of_a_run_with_data(run: Path, tmp_path: Path) -> None:
    synth.make(tmp_path / "data", images=6, size=64, seed=4, val_fraction=0.5)
    bundle = tmp_path / "bundle"
    make_bundles(run_job(run, Options()), [find_recipe("cpu-fp32")], bundle)
    report = verify_bundle(bundle, verify.Options(run=run, data=tmp_path / "data", limit=2))
    assert report.first is None
    for name in ("paddle", "exported", "host"):
        assert any(item.tensor == "mAP" and "2 images" in item.note for item in stage(report, name).differences)
    check_page(make_page(report).html(), "mAP")
    # The run went on training: the bundle isn't this run's any more.
    weights = run / "model.pdparams"
    changed = tmp_path / "changed"
    shutil.copytree(run, changed)
    (changed / weights.name).write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(RunError, match="aren't those that"):
        verify_bundle(bundle, verify.Options(run=changed))
