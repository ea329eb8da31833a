"""Large pages are asked for where that is of use, and never against the user's word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_seg.process.huge_pages import SIZE, SYSTEM, VARIABLE, asked_for


def system(folder: Path, enabled: str = "always [madvise] never", size: object = SIZE) -> Path:
    (folder / "enabled").write_text(f"{enabled}\n")
    (folder / "hpage_pmd_size").write_text(f"{size}\n")
    return folder


def test_they_are_asked_for_where_the_system_waits_for_it(tmp_path: Path) -> None:
    assert asked_for({}, system(tmp_path)) == {VARIABLE: "glibc.malloc.hugetlb=1"}
    both = asked_for({VARIABLE: "glibc.malloc.check=1"}, tmp_path)
    assert both == {VARIABLE: "glibc.malloc.check=1:glibc.malloc.hugetlb=1"}


@pytest.mark.parametrize("word", ["0", "1", "2"])
def test_what_the_user_says_stands(word: str, tmp_path: Path) -> None:
    assert asked_for({VARIABLE: f"glibc.malloc.hugetlb={word}"}, system(tmp_path)) == {}


@pytest.mark.parametrize("enabled", ["[always] madvise never", "always madvise [never]", ""])
def test_nothing_is_said_where_the_system_decides(enabled: str, tmp_path: Path) -> None:
    assert asked_for({}, system(tmp_path, enabled)) == {}


@pytest.mark.parametrize("size", [32 << 20, 512 << 20, "", "big"])
def test_pages_that_would_cost_memory_are_left(size: object, tmp_path: Path) -> None:
    assert asked_for({}, system(tmp_path, size=size)) == {}


def test_a_system_without_them(tmp_path: Path) -> None:
    assert asked_for({}, tmp_path / "none") == {}


@pytest.mark.skipif(not asked_for({}), reason=f"{SYSTEM} doesn't wait to be asked for large pages")
def test_a_process_started_so_has_them() -> None:
    code = (
        "import ctypes\n"
        "libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p; libc.malloc.argtypes = [ctypes.c_size_t]\n"
        "block = libc.malloc(64 << 20); ctypes.memset(block, 1, 64 << 20)\n"
        "print(sum(int(l.split()[1]) for l in open('/proc/self/smaps') if l.startswith('AnonHugePages')))\n"
    )

    def huge(variables: dict[str, str]) -> int:
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        done = subprocess.run([sys.executable, "-c", code], env={**environment, **variables}, capture_output=True)
        return int(done.stdout)

    without = huge({VARIABLE: "glibc.malloc.hugetlb=0"})
    if huge(asked_for({})) == without == 0:
        pytest.skip("this system's glibc is older than 2.35, or its memory is in small pieces")
    assert huge(asked_for({})) >= without + (32 << 10)
