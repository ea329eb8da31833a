"""Memory in pages of 2 MiB for our own commands, where Linux gives them to a process that asks for them.

Each image reads all of a model's weights, hundreds of megabytes. In pages of 4 KiB the processor walks the page tables
all the time, and under a hypervisor the host's on top: on such a virtual machine ResNet18-FPN took up to four times as
long, and two processes of the same code were up to 40 % apart, for as long as they lived. glibc (2.35 and newer) asks
for large pages if its tunable says so, which it reads when a process starts.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

VARIABLE = "GLIBC_TUNABLES"
TUNABLE = "glibc.malloc.hugetlb"
SIZE = 2 << 20
"""Bytes of the large pages that are asked for. Kernels of 16 and 64 KiB pages have such of 32 and 512 MiB: a process
would hold far more memory than it uses."""

SYSTEM = Path("/sys/kernel/mm/transparent_hugepage")

F = TypeVar("F", bound=Callable[..., Any])


def asked_for(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to start a process with so that it asks for large pages; none where that changes nothing.

    What the user's ``GLIBC_TUNABLES`` says stands: ``glibc.malloc.hugetlb=0`` there leaves large pages out.
    """
    tunables = environment.get(VARIABLE, "")
    if TUNABLE in tunables:
        return {}
    with contextlib.suppress(OSError, ValueError):
        size = int((SYSTEM / "hpage_pmd_size").read_text())
        if "[madvise]" in (SYSTEM / "enabled").read_text() and size == SIZE:
            return {VARIABLE: f"{tunables}:{TUNABLE}=1".lstrip(":")}
    return {}


def in_huge_pages(function: F) -> F:
    """Decorates a click command's function that computes in this process, which is started anew if need be.

    :func:`edge_seg.process.guard.guarded` starts a process anyway. Called from Python, nothing changes.
    """

    @functools.wraps(function)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        from edge_seg.process.guard import is_child  # which imports this module

        context = click.get_current_context(silent=True)
        command = context.find_root().obj if context and not is_child() else None
        if command is not None and (variables := asked_for(os.environ)):
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os.execve(command[0], command, {**os.environ, **variables})
        return function(*arguments, **options)

    return wrapper  # type: ignore[return-value]
