"""The same numbers give the same bits, wherever in memory they lie."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Products whose bits differ by alignment on some CPU or other when nothing is settled. In a process of its own, because
# MKL reads its variables once.
PRODUCTS = """
import ctypes, sys
from pathlib import Path
import numpy as np
from edge_seg import mkl

mkl.settle()
folder = Path(sys.argv[1])
ctypes.CDLL(str(folder / "libiomp5.so"), mode=ctypes.RTLD_GLOBAL)
product = ctypes.CDLL(str(folder / "libmklml_intel.so")).cblas_sgemm

def shifted(array, by):
    buffer = np.empty(array.size + 32, np.float32)
    first = -buffer.ctypes.data % 64 // 4 + by
    buffer[first : first + array.size] = array.ravel()
    return buffer[first : first + array.size]

random = np.random.default_rng(0)
for m, n, k in ((1, 64, 12544), (15, 160, 256), (13, 77, 333), (64, 400, 147)):
    a, b, c = random.normal(size=(m, k)), random.normal(size=(k, n)), np.zeros((m, n))
    results = set()
    for shifts in ((0, 0, 0), (4, 0, 0), (0, 4, 0), (0, 0, 4), (1, 2, 3), (8, 8, 8)):
        x, y, z = (shifted(array, by) for array, by in zip((a, b, c), shifts))
        at = [ctypes.c_void_p(array.ctypes.data) for array in (x, y, z)]
        one, zero = ctypes.c_float(1), ctypes.c_float(0)
        product(101, 111, 111, m, n, k, one, at[0], k, at[1], n, zero, at[2], n)
        assert np.allclose(z.reshape(m, n), a @ b, atol=1e-2)
        results.add(z.tobytes())
    print(m, n, k, len(results))
"""


@pytest.mark.parametrize("package", ["paddle", "paddlelite"])
def test_alignment_changes_nothing(package: str) -> None:
    found = importlib.util.find_spec(package)  # without importing it: its libraries alone are wanted
    if found is None or found.origin is None:
        pytest.skip(f"needs {package}")
    libraries = Path(found.origin).parent / "libs"
    if not (libraries / "libmklml_intel.so").is_file():
        pytest.skip(f"this {package} computes without MKL")
    done = subprocess.run([sys.executable, "-c", PRODUCTS, libraries], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["1"] * 4, done.stdout


def test_what_the_user_set_is_left_alone() -> None:
    """Before paddle's own import, too."""
    script = "import os; from edge_seg.paddle_env import paddle; print(os.environ['MKL_CBWR'])"
    environment = {**os.environ, "MKL_CBWR": "COMPATIBLE"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "COMPATIBLE"
