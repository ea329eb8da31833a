"""tools/demo.py: its steps fit together, and a second call has nothing left to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def demo(out: Path) -> str:
    command = [sys.executable, str(ROOT / "tools/demo.py"), "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_quick_demo(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    screen = demo(out)
    steps = screen.count("\n── ")
    for name in (
        "data/val.json",
        "run/config.json",
        "images/predictions.json",
        "records.jsonl",
        "table.md",
        "speed.html",
    ):
        assert (out / name).is_file(), name
    for recipe in ("arm-fp32", "x86-fp32", "cpu-fp32"):
        assert (out / "bundles" / recipe / "manifest.json").is_file()
    for name in ("run", "x86-fp32"):
        assert 0.0 <= json.loads((out / "accuracy" / f"{name}.json").read_text())["mask_map"] <= 1.0
    assert f"── {steps}/{steps}" in screen
    assert "(done before)" not in screen
    assert "edge-seg train mask_rcnn_r18_fpn --data MY_DATA" in screen

    again = demo(out)
    assert again.count("(done before)") == steps

    # What is gone is made again, and what comes after it is left as it was.
    (out / "table.md").unlink()
    assert demo(out).count("(done before)") == steps - 1
    assert (out / "table.md").is_file()
