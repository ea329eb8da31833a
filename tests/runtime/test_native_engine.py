"""The engine that drives a runner: the same results as the engine within it, and its failures in clear words."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_seg.bundle import open_bundle
from edge_seg.data import synth
from edge_seg.errors import EdgeSegError, EngineError, MissingDependencyError
from edge_seg.runtime.engines import native, paddle_lite
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.runtime.selftest import self_test
from tests.boards.conftest import INSTANCES, make_runner, make_x86

NATIVE = Path(__file__).parents[2] / "build" / "native" / "host" / "edge-seg-run"
PYTHON = f"{shlex.quote(sys.executable)} -m edge_seg.runtime.runner"


@pytest.fixture
def null_bundle(tmp_path: Path) -> Path:
    return make_x86(tmp_path / "bundle")


@pytest.mark.parametrize("runner", ["python", "native"])
def test_as_the_engine_within_it(null_bundle: Path, runner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if runner == "native" and not NATIVE.is_file():
        pytest.skip("the native runner isn't built: `make native` builds it")
    command = PYTHON if runner == "python" else shlex.quote(str(NATIVE))
    monkeypatch.setenv("EDGE_SEG_RUN", f"{command} --engine null")
    noise = np.random.default_rng(1)
    pictures = [noise.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((40, 60), (300, 200), (1, 1))]
    with (
        Segmenter(null_bundle, engine="native", instances=5) as there,
        Segmenter(null_bundle, engine="null", instances=5) as here,
    ):
        for picture in (*pictures, pictures[0][:, :, 0]):
            found, ns = there.timed(picture)
            expected, _ = here.timed(picture)
            assert found.as_json() == expected.as_json()
            assert list(ns) == ["pre", "detect", "nms", "mask", "post"]
        assert there.engine.describe()["name"] == "null"
        tested = self_test(there, open_bundle(null_bundle))
        assert (tested.faults, tested.parity.found) == ((), INSTANCES)
        assert len(there(pictures[0])) == 5, "after the self-test's own number"


def test_real_results(tiny_bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("paddlelite", reason="needs the extra 'lite'")
    monkeypatch.setenv("EDGE_SEG_RUN", PYTHON)
    bundle = tiny_bundles / "x86-fp32"
    picture = synth.draw(3, 128, 0)[0]
    with Segmenter(bundle, engine="native", score=0.01) as there, Segmenter(bundle, score=0.01) as here:
        expected = here(picture).as_json()
        assert expected
        assert there(picture).as_json() == expected


def test_it_stands_in_where_paddle_lite_is_missing(null_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise MissingDependencyError("no paddlelite")

    monkeypatch.setattr(paddle_lite, "version", missing)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingDependencyError, match="no paddlelite"):
        Segmenter(null_bundle)
    beside = make_runner(null_bundle.parent / "edge-seg-run", "--engine null")
    beside.chmod(0o755)
    with Segmenter(null_bundle) as segmenter:
        assert isinstance(segmenter.engine, native.NativeEngine)
        assert segmenter.engine.describe() == {"name": "null", "version": "1", "threads": 0, "runner": "edge-seg-run"}


def test_no_runner(null_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingDependencyError, match="EDGE_SEG_RUN"):
        Segmenter(null_bundle, engine="native")
    monkeypatch.setenv("EDGE_SEG_RUN", "/no/such/runner")
    with pytest.raises(EngineError, match="can't be started"):
        Segmenter(null_bundle, engine="native")


def test_what_the_runner_refuses(null_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_SEG_RUN", f"{PYTHON} --engine other")
    with pytest.raises(EdgeSegError, match="'other': unknown") as caught:
        Segmenter(null_bundle, engine="native")
    assert caught.value.code == "engine-unknown"


def test_a_dead_runner_is_started_again(null_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once = tmp_path / "once"
    script = tmp_path / "script"
    start = f'exec {PYTHON} --engine null "$@"'
    script.write_text(f"if [ -e {once} ]; then {start}; fi\ntouch {once}\n{start} < /dev/null\n")
    monkeypatch.setenv("EDGE_SEG_RUN", f"sh {script}")
    picture = np.zeros((20, 30, 3), np.uint8)
    with Segmenter(null_bundle, engine="native") as segmenter:
        with pytest.raises(EngineError):  # its stdin is at its end
            segmenter(picture)
        assert len(segmenter(picture)) == 0


def test_nothing_is_left(null_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_SEG_RUN", f"{PYTHON} --engine null")
    before = set(Path("/dev/shm").glob("edge-seg-*"))
    segmenter = Segmenter(null_bundle, engine="native", instances=1)
    segmenter(np.zeros((20, 30, 3), np.uint8))
    segmenter.close()
    assert set(Path("/dev/shm").glob("edge-seg-*")) == before
