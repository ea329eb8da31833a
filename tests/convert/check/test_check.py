"""The proof of a bundle: what it finds when the bundle, or the reference, isn't what it should be."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.artifacts import Job, Referenced
from convert.check.check import examine
from convert.job import layers
from edge_seg.bundle import MANIFEST
from edge_seg.errors import ConversionError
from edge_seg.files import sha256
from edge_seg.manifest import Manifest, invalid
from edge_seg.plain import from_plain
from edge_seg.runtime.result import Instances


@pytest.fixture(scope="module")
def referenced(job: Job) -> Referenced:
    return job.model.refer(job)


@pytest.fixture
def bundle(tiny_bundles: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundles / "x86-fp32", tmp_path / "bundle"))


def manifest_of(bundle: Path) -> Manifest:
    return from_plain(Manifest, json.loads((bundle / MANIFEST).read_text()), MANIFEST, invalid)


def replaced(instances: Instances, **arrays: Any) -> Instances:
    return dataclasses.replace(instances, **arrays)


def test_a_sound_bundle_passes(bundle: Path, referenced: Referenced) -> None:
    report = examine(bundle, manifest_of(bundle), referenced)
    assert report["matched"] == report["instances"] == report["found"] > 0
    assert report["repeats"]
    assert report["proposals"]["same"] == report["proposals"]["rows"]
    assert 0 <= report["box_px"] <= 0.01


def shift_a_box(found: Instances) -> Instances:
    boxes = found.boxes.copy()
    boxes[3, 1] += 0.05
    return replaced(found, boxes=boxes)


def raise_a_score(found: Instances) -> Instances:
    scores = found.scores.copy()
    scores[0] += 0.001
    return replaced(found, scores=scores)


def swap_classes(found: Instances) -> Instances:
    return replaced(found, classes=(found.classes + 1) % 3)


def swap_masks(found: Instances) -> Instances:
    return replaced(found, rles=found.rles[::-1])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (shift_a_box, "a box differs by 0.05"),
        (raise_a_score, "a score differs by 1.0e-03"),
        (swap_classes, "instances matched"),
        (swap_masks, "a mask differs in"),
    ],
)
def test_a_difference_is_named(bundle: Path, referenced: Referenced, fault: Any, words: str) -> None:
    expected = dataclasses.replace(referenced, instances=fault(referenced.instances))
    with pytest.raises(ConversionError, match=words) as raised:
        examine(bundle, manifest_of(bundle), expected)
    assert raised.value.code == "parity"


def test_other_feature_maps_are_noticed_even_where_the_instances_agree(bundle: Path, referenced: Referenced) -> None:
    detect = {**referenced.detect, "p4": referenced.detect["p4"] * np.float32(1.01)}
    with pytest.raises(ConversionError, match="p4 differs by"):
        examine(bundle, manifest_of(bundle), dataclasses.replace(referenced, detect=detect))


@pytest.mark.parametrize(("damage", "words"), [("cut short", "killed by SIG"), ("edited", "altered or damaged")])
def test_a_bundle_that_cannot_be_run_is_an_error(bundle: Path, referenced: Referenced, damage: str, words: str) -> None:
    nb = bundle / "trunk.nb"
    nb.write_bytes(nb.read_bytes()[:-5000])
    if damage == "cut short":  # the manifest agrees, so it is the library that stumbles
        manifest = json.loads((bundle / MANIFEST).read_text())
        manifest["graphs"]["trunk"]["files"]["trunk.nb"] = sha256(nb)
        (bundle / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ConversionError, match=words):
        examine(bundle, manifest_of(bundle), referenced)
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_a_model_that_gives_no_finite_values_is_refused(job: Job) -> None:
    weight = layers(job).network.bbox_head.bbox_score.weight
    sound = weight.numpy()
    try:
        weight.set_value(np.full_like(sound, np.nan))
        with pytest.raises(ConversionError, match="scores that are not finite") as raised:
            job.model.refer(job)
        assert raised.value.code == "not-finite"
    finally:
        weight.set_value(sound)


def test_where_nothing_is_found_the_best_boxes_are_compared(job: Job) -> None:
    strict = dataclasses.replace(job, postprocess=dataclasses.replace(job.postprocess, score_threshold=1.0))
    referenced = strict.model.refer(strict)
    assert referenced.best == len(referenced.instances) == 10
