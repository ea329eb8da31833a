"""What really happens to the samples, found out without the doctor: opt, load, run and compare, each in a fork."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from convert.backends.run_graph import LITE, read_arrays, write_inputs
from convert.doctor.model import Options, examine_model
from edge_seg.doctor.report import Report
from edge_seg.process.forks import warm

LIMIT_S = 60
Truth = dict[str, str]


def judged(folder: Path, names: list[str], arm: set[str]) -> dict[str, tuple[Truth, Report, Report | None]]:
    """For each sample: the truth, the doctor's report for x86 and, for those in ``arm``, the one for Arm."""
    found = {}
    with warm(["convert.backends.run_paddle"], "edge_seg.paddle_env"), warm(LITE, "paddlelite.lite"):
        for name in names:
            file = folder / f"{name}.pdmodel"
            for_arm = examine_model(file, Options("arm")) if name in arm else None
            found[name] = (truth(folder, name), examine_model(file, Options("x86")), for_arm)
    return found


def truth(folder: Path, name: str) -> Truth:
    """``x86`` and ``arm``: whether opt ``converts`` or ``dies``; ``run``: ``works``, ``dies`` or ``differs``."""
    what = {target: _fork(partial(_convert, folder, name, target)) for target in ("arm", "x86")}
    what["run"] = _fork(partial(_run, folder, name)) if what["x86"] == "works" else "dies"
    return what


def by_runner(folder: Path, name: str, target: str, runner: Sequence[str]) -> str:
    """The same of a machine that ``runner`` runs graphs on: ``works``, ``dies`` or ``differs``."""
    if _fork(partial(_convert, folder, name, target)) != "works":
        return "dies"
    with np.load(folder / f"{name}.npz") as arrays, tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = (Path(scratch, part) for part in ("inputs", "outputs"))
        inputs.mkdir()
        outputs.mkdir()
        write_inputs(inputs, [[arrays[key] for key in arrays.files if key.startswith("in")]] * 2)
        words = ["--graph", folder / f"{name}-{target}.nb", "--inputs", inputs, "--outputs", outputs]
        if subprocess.run([*runner, *map(str, words)], capture_output=True, check=False).returncode:
            return "dies"
        expected = [arrays[key] for key in arrays.files if key.startswith("out")]
        for found in (read_arrays(outputs, number) for number in range(2)):
            if len(found) != len(expected) or not all(map(_close, expected, found)):
                return "differs"
    return "works"


def _fork(work: Callable[[], bool]) -> str:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(LIMIT_S)
            null = os.open(os.devnull, os.O_RDWR)
            for number in (1, 2):
                os.dup2(null, number)
            code = 0 if work() else 3
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return {0: "works", 3: "differs"}.get(os.waitstatus_to_exitcode(status), "dies")


def _convert(folder: Path, name: str, target: str) -> bool:
    import paddlelite.lite as lite  # type: ignore[import-not-found,import-untyped,unused-ignore]

    opt = lite.Opt()
    opt.set_model_file(str(folder / f"{name}.pdmodel"))
    opt.set_param_file(str(folder / f"{name}.pdiparams"))
    opt.set_optimize_out(str(folder / f"{name}-{target}"))
    opt.set_model_type("naive_buffer")
    opt.set_valid_places(target)
    opt.run()
    return (folder / f"{name}-{target}.nb").is_file()


def _run(folder: Path, name: str) -> bool:
    import paddlelite.lite as lite

    config = lite.MobileConfig()
    config.set_model_from_file(str(folder / f"{name}-x86.nb"))
    predictor = lite.create_paddle_predictor(config)
    with np.load(folder / f"{name}.npz") as arrays:
        inputs = [arrays[key] for key in arrays.files if key.startswith("in")]
        expected = [arrays[key] for key in arrays.files if key.startswith("out")]
    for _ in range(2):
        for index, value in enumerate(inputs):
            predictor.get_input(index).from_numpy(value)
        predictor.run()
        found = [np.array(predictor.get_output(index).numpy()) for index in range(len(expected))]
        if not all(_close(e, f) for e, f in zip(expected, found, strict=True)):
            return False
    return True


def _close(expected: np.ndarray, found: np.ndarray) -> bool:
    if expected.size != found.size:
        return False
    a, b = expected.reshape(-1).astype(float), found.reshape(-1).astype(float)
    return np.allclose(
        a, b, rtol=1e-3, atol=1e-3 * max(1e-6, float(np.abs(a[np.isfinite(a)]).max(initial=0))), equal_nan=True
    )
