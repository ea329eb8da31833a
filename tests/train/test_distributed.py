"""Two processes that train together on the CPU (gloo): the losses of one with the double batch, and what is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edge_seg.train.run import load_run, read_config
from edge_seg.train.weights import read_arrays

ROOT = Path(__file__).parents[2]
FEW = ("--size", "64", "--log-every", "1", "--checkpoint-every", "2", "--seed", "3", "--warmup-steps", "0")


def command(data: Path, out: Path, *options: Any) -> list[str]:
    words = ["train", "mask_rcnn_tiny_fpn", "--data", data, "--out", out, *FEW, *options]
    return [str(word) for word in words]


def start(words: list[str], folder: Path) -> list[subprocess.Popen[str]]:
    """Two processes as paddle's launcher starts them; what they say goes to ``folder``/0 and /1."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        master = f"127.0.0.1:{free.getsockname()[1]}"
    places = [f"127.0.0.1:{6170 + rank}" for rank in range(2)]
    folder.mkdir(exist_ok=True)
    started = []
    for rank in range(2):
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "PADDLE_MASTER": master,
            "PADDLE_TRAINER_ID": str(rank),
            "PADDLE_TRAINERS_NUM": "2",
            "PADDLE_LOCAL_SIZE": "2",
            "PADDLE_TRAINER_ENDPOINTS": ",".join(places),
            "PADDLE_CURRENT_ENDPOINT": places[rank],
        }
        log = (folder / str(rank)).open("w")
        words_ = [sys.executable, *words] if words[0] == "-c" else [sys.executable, "-m", "edge_seg.cli", *words]
        started.append(subprocess.Popen(words_, env=environment, stdout=log, stderr=log, text=True))
    return started


def together(words: list[str], folder: Path) -> list[int]:
    started = start(words, folder)
    try:
        return [process.wait(timeout=300) for process in started]
    finally:
        for process in started:
            process.kill()


def losses(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    return [line for line in lines if line.pop("kind") == "train"]


SHARED: dict[str, tuple[Any, ...]] = {
    "defaults": ("--max-steps", 4),
    "other shapes": (
        *("--max-steps", 3, "--accumulate", 2, "--short-side", 48, "--short-side", 64, "--long-side", 96),
        *("--group-by-aspect", "--repeat-factor", 0.9, "--clip-norm", 1, "--frozen-norm", "--optimizer", "adamw"),
    ),
}


@pytest.mark.parametrize(
    "options",
    [SHARED["defaults"], pytest.param(SHARED["other shapes"], marks=pytest.mark.slow)],
    ids=SHARED,
)
def test_two_processes_have_the_losses_of_one_with_the_double_batch(
    data: Path, tmp_path: Path, options: tuple[Any, ...]
) -> None:
    from edge_seg.cli import main

    one, two = tmp_path / "one", tmp_path / "two"
    assert main(command(data, one, "--batch", 4, "--eval-every", 0, *options)) == 0
    assert together(command(data, two, "--batch", 2, "--eval-every", 0, *options), tmp_path / "logs") == [0, 0]
    assert read_config(two).settings.processes == 2
    assert read_config(two).settings.lr == read_config(one).settings.lr
    assert "effective batch" in (tmp_path / "logs/0").read_text()
    other = (tmp_path / "logs/1").read_text()  # paddle itself may say something there
    assert not any(words in other for words in ("step", "to train on", "effective batch"))
    assert len(losses(one)) == len(losses(two)) == options[1]
    for wanted, found in zip(losses(one), losses(two), strict=True):
        assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.slow
def test_a_lost_process_ends_the_training_and_the_checkpoint_goes_on(data: Path, tmp_path: Path) -> None:
    options = ("--batch", 2, "--epochs", 6, "--ema", 0.9, "--accumulate", 2, "--repeat-factor", 0.9)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert together(command(data, whole, *options), tmp_path / "whole-logs") == [0, 0]
    leader, other = start(command(data, parts, *options), tmp_path / "logs")
    until = time.monotonic() + 300
    while not (parts / "metrics.jsonl").is_file() or len(losses(parts)) < 3:
        assert time.monotonic() < until
        assert leader.poll() is None
        time.sleep(0.01)
    other.send_signal(signal.SIGKILL)
    assert other.wait() == -signal.SIGKILL
    assert leader.wait(timeout=300) == 1
    assert "another process of this training was lost" in (tmp_path / "logs/0").read_text()
    assert together(command(data, parts, *options, "--resume"), tmp_path / "again") == [0, 0]
    assert (whole / "metrics.jsonl").read_bytes() == (parts / "metrics.jsonl").read_bytes()
    assert load_run(parts).weights.read_bytes() == load_run(whole).weights.read_bytes()


@pytest.mark.slow
def test_another_number_of_processes_goes_on_with_the_same_batch(data: Path, tmp_path: Path, capsys: Any) -> None:
    from edge_seg.cli import main

    run = tmp_path / "run"
    assert together(command(data, run, "--batch", 1, "--epochs", 1, "--eval-every", 0), tmp_path / "logs") == [0, 0]
    again = ("--epochs", 2, "--eval-every", 0, "--resume")
    assert main(command(data, run, "--batch", 1, *again)) == 2
    assert "--batch 2" in capsys.readouterr().err
    assert main(command(data, run, "--batch", 2, *again)) == 0
    assert len(losses(run)) == 8
    assert read_arrays(run / "model.pdparams")


@pytest.mark.slow
def test_paddles_launcher_starts_it(data: Path, tmp_path: Path) -> None:
    program = tmp_path / "edge-seg"
    program.write_text(f"#!{sys.executable}\nimport sys\nfrom edge_seg.cli import main\nsys.exit(main())\n")
    program.chmod(0o755)
    words = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", "log"]
    run = tmp_path / "run"
    done = subprocess.run(
        [*words, str(program), *command(data, run, "--batch", 1, "--max-steps", 2, "--eval-every", 0)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "effective batch 2 (1 images x 2 processes), learning rate 0.0025" in (tmp_path / "log/workerlog.0").read_text()
    )
    assert read_config(run).settings.processes == 2
    assert len(losses(run)) == 2


WAITS = """
import time
from edge_seg.train import device, distributed
device.use("cpu", 1)
processes = distributed.join()
if processes.leads:
    time.sleep(32)
processes.meet()
print(processes.mean([processes.rank]))
"""


@pytest.mark.slow
def test_the_others_wait_for_a_leader_that_evaluates_longer_than_gloo_would(tmp_path: Path) -> None:
    assert together(["-c", WAITS], tmp_path / "logs") == [0, 0]
    assert [(tmp_path / "logs" / name).read_text().split()[-1] for name in "01"] == ["[0.5]"] * 2
