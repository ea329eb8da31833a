"""What the harness itself costs: ``python -m benchmarks.harness``.

With the null engine, which computes nothing, all that is left of a sample is the harness's own: within it (the total
less the stages) and between two samples (from the end of one to the start of the next). Then a spin of 5 ms is put
inside a stage, and what the sample says of it is held against the spin's own clock. Last, an outside loop over the same
ONNX files, by onnxruntime alone, takes turns with a bundle's own model time. Two processes that run the same code
differ by up to a tenth for as long as they live, by where their memory came to lie, so both are started several times.
"""

from __future__ import annotations

import contextlib
import gc
import json
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import click
import numpy as np

from bench.compare import PAUSE_S, take_turns, turns_of
from benchmarks.null_bundle import make_null_bundle
from edge_seg.bundle import Bundle, open_bundle
from edge_seg.process.python import module_command
from edge_seg.records.statistics import summarise
from edge_seg.runtime.engines import null
from edge_seg.runtime.engines.checks import file_of
from edge_seg.runtime.image import read_image
from edge_seg.runtime.postprocess import select
from edge_seg.runtime.preprocess import preprocess
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.targets.local import Local

SAMPLES = 2000
SPIN_NS = 5_000_000
_CPU = "CPUExecutionProvider"
STAGES = ("pre", "detect", "nms", "mask", "post")


def null_samples(folder: Path) -> list[dict[str, Any]]:
    """Samples of the Python runner with the null engine and one object."""
    bundle = folder / "null"
    make_null_bundle(bundle, size=(64, 96), proposals=10, classes=("a",), keep=10)
    words = ["--bundle", str(bundle), "--images", str(bundle / "golden/image.png"), "--engine", "null", "--json"]
    words += ["--warmup", "100", "--repeat", str(SAMPLES), "--instances", "1", "--threads", "1"]
    done = subprocess.run(module_command("edge_seg.runtime.runner", *words), capture_output=True, check=True)
    return [line for line in map(json.loads, done.stdout.splitlines()) if line["type"] == "sample"]


class Spinning:
    """The null engine, whose `detect` spins for 5 ms and notes how long that took by its own clock."""

    name = "spinning"
    spun = 0

    def __init__(self, bundle: Bundle) -> None:
        self._engine = null.load(bundle, 1)

    def run(self, graph: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """The null engine's outputs."""
        begin = perf_counter_ns()
        if graph == "detect":
            while perf_counter_ns() - begin < SPIN_NS:
                pass
        outputs = self._engine.run(graph, inputs)
        if graph == "detect":
            self.spun = perf_counter_ns() - begin
        return outputs

    def describe(self) -> dict[str, Any]:
        """Its name."""
        return {"name": self.name}

    def close(self) -> None:
        """Nothing to end."""


def spin_shares(folder: Path, count: int = 200) -> list[float]:
    """What a sample says of a spin in `detect`, against the spin's own clock."""
    bundle = open_bundle(folder / "null")
    engine = Spinning(bundle)
    manifest = bundle.manifest
    segmenter = Segmenter.over(engine, manifest.preprocess, manifest.postprocess, classes=manifest.classes, instances=1)
    image = read_image(bundle.path / manifest.golden.image)
    return [segmenter.timed(image)[1]["detect"] / engine.spun for _ in range(count)]


class OutsideLoop:
    """onnxruntime alone on a bundle's two files, with the selection between them. Lives in a process of its own."""

    def __init__(self, bundle: Path, threads: int, instances: int) -> None:
        import onnxruntime

        opened = open_bundle(bundle)
        self._manifest, self._bundle, self._instances = opened.manifest, bundle, instances
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._detect, self._mask = (
            onnxruntime.InferenceSession(str(file_of(opened, name, ".onnx")), options, providers=[_CPU])
            for name in ("detect", "mask")
        )

    def run(self) -> float:
        """Model time of one image, ms."""
        manifest = self._manifest
        names = [tensor.name for tensor in manifest.graphs["detect"].outputs]
        features = [tensor.name for tensor in manifest.graphs["mask"].inputs if tensor.name.startswith("p")]
        # Image and garbage at each turn, as in the harness: a core that comes from its sleep is slow at first (5 %).
        blob, geometry = preprocess(read_image(self._bundle / manifest.golden.image), manifest.preprocess)
        gc.collect()
        begin = perf_counter_ns()
        found = dict(zip(names, self._detect.run(names, {"image": blob}), strict=True))
        extent = (geometry.scaled_height, geometry.scaled_width)
        kept = select(found["boxes"], found["scores"], manifest.postprocess, extent=extent, instances=self._instances)
        rows = np.arange(len(kept)) * (found["scores"].shape[1] - 1)
        inputs = {name: found[name] for name in features}
        inputs["boxes"], inputs["num"] = np.ascontiguousarray(kept.boxes), np.array([len(kept)], np.int32)
        inputs["channel"] = (rows + kept.classes).astype(np.int32)
        self._mask.run(None, inputs)
        return (perf_counter_ns() - begin) / 1e6


_outside: OutsideLoop | None = None


def _begin(*arguments: Any) -> None:
    global _outside
    _outside = OutsideLoop(*arguments)


def _turn() -> float:
    assert _outside is not None
    return _outside.run()


def against_outside(bundle: Path, threads: int, instances: int, rounds: int) -> tuple[float, float]:
    """Medians of the outside loop and of the harness, ms, in turns; both in processes that were just started."""
    image = bundle / open_bundle(bundle).manifest.golden.image
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(
            ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin, initargs=(bundle, threads, instances))
        )

        def outside() -> tuple[float, int]:
            time.sleep(PAUSE_S)
            return pool.submit(_turn).result(), instances

        ours = stack.enter_context(turns_of(Local(), open_bundle(bundle), image, instances, threads))
        times, _ = take_turns([outside, ours], rounds, 3, lambda text: None)
    return statistics.median(times[0]), statistics.median(times[1])


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--threads", default=1, show_default=True)
@click.option("--instances", default=10, show_default=True)
@click.option("--rounds", default=10, show_default=True, help="Turns of each, a start.")
@click.option("--starts", default=9, show_default=True, help="Times that both processes are started.")
def main(bundle: Path | None, threads: int, instances: int, rounds: int, starts: int) -> None:
    """Measure the harness with the null engine and, with a BUNDLE of onnx-fp32, against an outside loop."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        samples = null_samples(folder)
        within = [sample["ns"]["total"] - sum(sample["ns"][stage] for stage in STAGES) for sample in samples]
        ends = [sample["start_ns"] + sample["ns"]["total"] for sample in samples]
        between = [later["start_ns"] - end for later, end in zip(samples[1:], ends, strict=False)]
        for name, values in (("within a sample", within), ("between two samples", between)):
            found = summarise([value / 1e3 for value in values])
            click.echo(f"{name}: {found.median:.1f} ± {found.spread:.1f} µs (limit 20)")
        shares = summarise(spin_shares(folder))
        click.echo(f"a spin of 5 ms: told as {shares.median:.4f} ± {shares.spread:.4f} of its length (limit 1 %)")
    if bundle is None:
        return
    ratios = []
    for number in range(1, starts + 1):
        outside_ms, own_ms = against_outside(bundle, threads, instances, rounds)
        ratios.append(own_ms / outside_ms)
        click.echo(f"start {number} of {starts}: outside loop {outside_ms:.1f} ms, harness {own_ms:.1f} ms")
    median, low, high = statistics.median(ratios), min(ratios), max(ratios)
    click.echo(f"harness / outside loop: {median:.3f} (single starts {low:.3f} to {high:.3f}; limit 3 %)")


if __name__ == "__main__":
    main()
