"""The engine that drives a runner: the same results as the engine within it, and its failures in clear words."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
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
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(NATIVE.parents[3])}
PYTHON = f"{shlex.quote(sys.executable)} -m edge_seg.runtime.runner"


@pytest.fixture
def null_bundle(tmp_path: Path) -> Path:
    return make_x86(tmp_path / "bundle")


def command_of(runner: str) -> str:
    """How that runner is started, with the engine that computes nothing; skips the test where it isn't built."""
    if runner == "native" and not NATIVE.is_file():
        pytest.skip("the native runner isn't built: `make native` builds it")
    return f"{PYTHON if runner == 'python' else shlex.quote(str(NATIVE))} --engine null"


@pytest.mark.parametrize("runner", ["python", "native"])
def test_names_on_stdin(null_bundle: Path, runner: str, tmp_path: Path) -> None:
    names = ["a b.png", "'c'.png"]
    for name in names:
        shutil.copy(null_bundle / "golden" / "image.png", tmp_path / name)
    words = [*shlex.split(command_of(runner)), "--bundle", str(null_bundle), "--repeat", "1", "--json", "--images", "-"]
    text = "".join(f"{name}\n" for name in [*names, "none.png"])
    done = subprocess.run(words, input=text, capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["image"] for line in said if line["type"] == "result"] == names
    assert (done.returncode, said[-1]["type"], said[-1]["code"]) == (1, "error", "image-missing")
    done = subprocess.run([*words, "--save", "out"], input="", capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, json.loads(done.stdout)["code"]) == (2, "usage")


@pytest.mark.parametrize("runner", ["python", "native"])
def test_ctrl_c_ends_the_wait_for_a_name(null_bundle: Path, runner: str) -> None:
    words = [*shlex.split(command_of(runner)), "--bundle", str(null_bundle), "--json", "--images", "-"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout
        while json.loads(process.stdout.readline())["type"] != "load":
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert json.loads(process.stdout.readlines()[-1])["code"] == "interrupted"


@pytest.mark.parametrize("runner", ["python", "native"])
def test_as_the_engine_within_it(null_bundle: Path, runner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_SEG_RUN", command_of(runner))
    noise = np.random.default_rng(1)
    images = [noise.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((40, 60), (300, 200), (1, 1))]
    with (
        Segmenter(null_bundle, engine="native", instances=5) as there,
        Segmenter(null_bundle, engine="null", instances=5) as here,
    ):
        for image in (*images, images[0][:, :, 0]):
            found, ns = there.timed(image)
            expected, _ = here.timed(image)
            assert found.as_json() == expected.as_json()
            assert list(ns) == ["pre", "detect", "nms", "mask", "post"]
        assert there.engine.describe()["name"] == "null"
        tested = self_test(there, open_bundle(null_bundle))
        assert (tested.faults, tested.parity.found) == ((), INSTANCES)
        assert len(there(images[0])) == 5, "after the self-test's own number"


def test_real_results(tiny_bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("paddlelite", reason="needs the extra 'lite'")
    monkeypatch.setenv("EDGE_SEG_RUN", PYTHON)
    bundle = tiny_bundles / "x86-fp32"
    image = synth.draw(3, 128, 0)[0]
    with Segmenter(bundle, engine="native", score=0.01) as there, Segmenter(bundle, score=0.01) as here:
        expected = here(image).as_json()
        assert expected
        assert there(image).as_json() == expected


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
    image = np.zeros((20, 30, 3), np.uint8)
    with Segmenter(null_bundle, engine="native") as segmenter:
        with pytest.raises(EngineError):  # its stdin is at its end
            segmenter(image)
        assert len(segmenter(image)) == 0


def test_nothing_is_left(null_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_SEG_RUN", f"{PYTHON} --engine null")
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(native, "SHARED", memory)
    segmenter = Segmenter(null_bundle, engine="native", instances=1)
    segmenter(np.zeros((20, 30, 3), np.uint8))
    assert list(memory.iterdir()) != []
    segmenter.close()
    assert list(memory.iterdir()) == []


BOARD = """
import sys
for name in ("paddle", "paddlelite", "onnx", "onnxruntime", "cryptography"):
    sys.modules[name] = None  # as where they aren't installed
import importlib.metadata
from edge_seg import Segmenter
from edge_seg.runtime.engines import paddle_lite
def version():
    raise paddle_lite.MissingDependencyError("not installed")
paddle_lite.version = version
with Segmenter(sys.argv[1], instances=3) as segmenter:
    print(len(segmenter(sys.argv[2])), segmenter.engine.name)
others = {name.partition(".")[0] for name in sys.modules} & {"paddle", "convert", "bench"}
print(sorted(name for name in others if sys.modules[name] is not None))
"""


def test_the_base_installation_is_enough(null_bundle: Path) -> None:
    image = str(null_bundle / "golden" / "image.png")
    environment = {**ENVIRONMENT, "EDGE_SEG_RUN": f"{PYTHON} --engine null"}
    words = [sys.executable, "-c", BOARD, str(null_bundle), image]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines() == ["3 native", "[]"], done.stderr
