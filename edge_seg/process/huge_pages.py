"""Memory in pages of 2 MiB for our own commands, where Linux gives them to a process that asks for them.

Each image reads all of a model's weights, hundreds of megabytes. In pages of 4 KiB the processor walks the page tables
all the time, and under a hypervisor the host's on top: on such a virtual machine ResNet18-FPN took up to four times as
long, and two processes of the same code were up to 40 % apart, for as long as they lived. glibc (2.35 and newer) asks
for huge pages if its tunable says so, which it reads when a process starts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "GLIBC_TUNABLES"
TUNABLE = "glibc.malloc.hugetlb"
SIZE = 2 << 20
"""Bytes of the huge pages that are asked for. Kernels of 16 and 64 KiB pages have such of 32 and 512 MiB: a process
would hold far more memory than it uses."""

SYSTEM = Path("/sys/kernel/mm/transparent_hugepage")


def asked_for(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to start a process with so that it asks for huge pages; none where nobody waits to be asked.

    What the user's ``GLIBC_TUNABLES`` says stands: ``glibc.malloc.hugetlb=0`` there leaves huge pages out.
    """
    tunables = environment.get(VARIABLE, "")
    if TUNABLE in tunables:
        return {}
    with contextlib.suppress(OSError, ValueError):
        size = int((SYSTEM / "hpage_pmd_size").read_text())
        if "[madvise]" in (SYSTEM / "enabled").read_text() and size == SIZE:
            return {VARIABLE: f"{tunables}:{TUNABLE}=1".lstrip(":")}
    return {}


def environment() -> dict[str, str]:
    """This process's variables with those of :func:`asked_for`, to start another one with."""
    return {**os.environ, **asked_for(os.environ)}
