"""What the driver shows of the GPU, for the record."""

from __future__ import annotations

import os
import subprocess
from typing import Any

_FIELDS = (
    *("name", "driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem", "power.draw", "power.limit"),
    *("temperature.gpu", "pstate", "clocks_throttle_reasons.active", "utilization.gpu"),
)


def gpu_state() -> dict[str, Any]:
    """What the driver's nvidia-smi shows of the first GPU, and how many processes compute on it; empty without it."""
    try:
        words = ["nvidia-smi", "-i", "0", "--format=csv,noheader,nounits"]
        shown = subprocess.run(
            [*words, f"--query-gpu={','.join(_FIELDS)}"], capture_output=True, text=True, timeout=20, check=True
        )
        others = subprocess.run(
            [*words, "--query-compute-apps=pid"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in shown.stdout.splitlines()[0].split(",")] if shown.stdout else []
    state: dict[str, Any] = dict(zip(_FIELDS, values, strict=False))
    return {**state, "other_processes": len(set(others.stdout.split()) - {str(os.getpid())})}
