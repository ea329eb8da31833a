"""A target whose runner is a script, and a bundle that only bench's own code can open."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg.bundle import write_manifest
from edge_seg.files import sha256
from edge_seg.manifest import Golden, GraphSpec, Manifest, PostprocessSpec, PreprocessSpec, TensorSpec
from edge_seg.records.board_state import BoardState, Ticks
from edge_seg.records.machine import Machine
from edge_seg.records.record import STAGES, TOTAL, Image, Record, Sample, Scenario, Subject, Verdict
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.targets.local import Local

FAKE_RUNNER = Path(__file__).with_name("fake_runner.py")


class FakeTarget(Local):
    """This machine with the fake runner, which fails in the way asked for."""

    def __init__(self, fault: str = "none") -> None:
        super().__init__()
        self.runner = (sys.executable, str(FAKE_RUNNER), fault)


@pytest.fixture
def fake_target() -> type[FakeTarget]:
    return FakeTarget


FEATURES = tuple(TensorSpec(f"p{level}", (1, 8, 64 >> level, 96 >> level), "float32") for level in range(2, 6))
BOXES = TensorSpec("boxes", (10, 1, 4), "float32")
GRAPHS = {
    "detect": GraphSpec(
        {},
        (TensorSpec("image", (1, 3, 64, 96), "float32"),),
        (BOXES, TensorSpec("scores", (10, 2), "float32"), *FEATURES),
    ),
    "mask": GraphSpec(
        {},
        (
            *FEATURES,
            TensorSpec("boxes", (-1, 4), "float32"),
            TensorSpec("num", (1,), "int32"),
            TensorSpec("channel", (-1,), "int32"),
        ),
        (TensorSpec("masks", (-1, 28, 28), "float32"),),
    ),
}
INSTANCES = 4


@pytest.fixture
def bundle_path(tmp_path: Path) -> Path:
    """A bundle whose hashes are right and whose graphs are no graphs; its golden result is the null engine's."""
    folder = tmp_path / "x86-fp32"
    (folder / "golden").mkdir(parents=True)
    image, expected = folder / "golden" / "image.png", folder / "golden" / "expected.json"
    cv2.imwrite(str(image), np.zeros((48, 64, 3), np.uint8))
    for name in GRAPHS:
        (folder / f"{name}.nb").write_bytes(f"{name}.nb".encode() * 100)
    instances: list[dict[str, Any]] = []
    for _ in range(2):  # first to have a bundle that can be asked what is expected
        expected.write_text(json.dumps({"height": 48, "width": 64, "instances": instances}))
        write_manifest(folder, _manifest(folder))
        with Segmenter(folder, engine="null", instances=INSTANCES) as segmenter:
            instances = segmenter(image).as_json()
    return folder


def _manifest(folder: Path) -> Manifest:
    golden = {f"golden/{name}": sha256(folder / "golden" / name) for name in ("image.png", "expected.json")}
    graphs = {n: replace(graph, files={f"{n}.nb": sha256(folder / f"{n}.nb")}) for n, graph in GRAPHS.items()}
    return Manifest(
        name="shapes",
        model="mask_rcnn_tiny_fpn",
        recipe="x86-fp32",
        engine="paddle-lite",
        engine_version="2.13",
        target="x86",
        precision="fp32",
        classes=("circle",),
        category_ids=(1,),
        preprocess=PreprocessSpec((64, 96)),
        postprocess=PostprocessSpec(),
        proposals=10,
        graphs=graphs,
        golden=Golden(golden, "golden/image.png", "golden/expected.json", instances=INSTANCES),
        random_weights=True,
        source={},
    )


def quiet_state(second: int) -> BoardState:
    """A machine of two cores on which nothing else runs, that shows all that a verdict asks for."""
    idle = Ticks(busy=0, idle=100 * second, stolen=0)
    speed = {"cpu0": 2_400_000, "cpu1": 2_400_000}
    return BoardState(
        uptime_s=float(second),
        load_average=(0.1, 0.1, 0.1),
        governor=dict.fromkeys(speed, "performance"),
        frequency_khz=speed,
        temperature_c={"thermal_zone0 cpu-thermal": 55.0},
        throttle={"firmware flags": 0},
        ticks={"cpu": Ticks(0, 200 * second, 0), "cpu0": idle, "cpu1": idle},
        max_frequency_khz=speed,
    )


def a_record() -> Record:
    """A valid record of a trained model: 30 samples of one picture, 10 ms of model time within 13 ms."""
    ns = dict(zip((*STAGES, TOTAL), (1_000_000, 8_000_000, 500_000, 1_500_000, 2_000_000, 13_000_000), strict=True))
    metrics = {"box_map": 0.612, "mask_map": 0.587}
    return Record(
        time="2025-01-02T03:04:05+00:00",
        bundle=Subject(
            id="b" * 64,
            name="shapes",
            model="mask_rcnn_r18_fpn",
            recipe="cpu-fp32",
            engine="paddle-inference",
            engine_version="2.6.2",
            target="cpu",
            precision="fp32",
            size=(320, 320),
            proposals=100,
            keep=100,
            score_threshold=0.05,
            classes=3,
            random_weights=False,
            model_bytes=125_600_000,
            source={"metrics": metrics, "weights_sha256": "w" * 64},
        ),
        target="local",
        machine=Machine(
            arch="x86_64", cpu="Some CPU", cores=2, allowed_cores="0-1", memory_bytes=8 << 30, os="Some OS"
        ),
        runner={"type": "hello"},
        scenario=Scenario((Image("photo.jpg", "p" * 64, 1280, 720),), 5, 30, 2, None),
        load={},
        first_run={},
        samples=tuple(Sample(0, repeat, 7, ns) for repeat in range(30)),
        before=(quiet_state(1), quiet_state(2)),
        during=tuple(quiet_state(second) for second in range(3, 6)),
        after=(quiet_state(6),),
        cpu_seconds=0.5,
        self_test=None,
        memory=None,
        verdict=Verdict("valid"),
    )


@pytest.fixture
def make_record() -> Callable[..., Record]:
    """Makes a record that differs from :func:`a_record` in the fields given; ``bundle__recipe=…`` reaches inside."""

    def make(**changes: Any) -> Record:
        record = a_record()
        for name, value in changes.items():
            outer, _, inner = name.partition("__")
            if inner:
                value = replace(getattr(record, outer), **{inner: value})
            record = replace(record, **{outer: value, "id": ""})
        return record

    return make
