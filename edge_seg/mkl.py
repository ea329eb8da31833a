"""How MKL, which comes with paddle and with paddlelite, is to compute: the same bits each time, and fast.

The bits of a matrix product depend, by default, on where in memory its operands happen to lie, on some shapes and some
CPUs: the same picture twice could differ in the last digits. Conditional numerical reproducibility ends that (Intel's
developer guide for MKL, "Obtaining Numerically Reproducible Results"); no slowdown could be measured.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def settle() -> None:
    """To be called before paddle or paddlelite is imported: MKL reads these variables when it first computes.

    What the user has set is left alone. Processes started later inherit it.
    """
    os.environ.setdefault("MKL_CBWR", "AUTO")
    # On a CPU that isn't Intel's, MKL takes its slowest kernels unless this undocumented variable asks for those with
    # AVX2. Their results differ, so that it must hold for every process of a machine or for none.
    with contextlib.suppress(OSError):
        cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if "AuthenticAMD" in cpu and " avx2 " in cpu:
            os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")
