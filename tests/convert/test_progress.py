"""What `edge-seg convert` shows: on a terminal the stage that runs, in a file those that are done."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from edge_seg.process.python import PACKAGES
from tests.conftest import Finished

WORDS = ["convert", "mask_rcnn_tiny_fpn", "--random-weights", "--classes", "2", "--size", "64", "--recipe", "onnx-fp32"]


def test_a_terminal_shows_the_stage_that_runs(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES), "COLUMNS": "60"}
    command = [sys.executable, "-m", "edge_seg", *WORDS, "--out", "bundle"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=theirs, stdout=subprocess.PIPE) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux says so when the other end is closed
                break
            if not part:
                break
            shown += part
        process.wait()
    os.close(ours)
    text = shown.decode()
    assert process.returncode == 0, text
    lines = re.split(r"\r\n|\r\x1b\[K", text)
    assert "converting: compile …" in lines
    assert lines.index("converting: compile …") < next(
        i for i, line in enumerate(lines) if "onnx-fp32: compile" in line
    )
    assert max(map(len, lines)) <= 60
    assert text.endswith("\r\x1b[K")  # nothing is left of it


def test_a_file_gets_the_stages_that_are_done(edge_seg: Callable[..., Finished], tmp_path: Path) -> None:
    done = edge_seg(*WORDS, "--out", "bundle")
    assert done.returncode == 0, done.stderr
    assert "\r" not in done.stderr
    assert re.fullmatch(r"(.+  \d+\.\d s\n)+", done.stderr)
