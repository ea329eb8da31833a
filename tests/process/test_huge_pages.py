"""Huge pages are asked for where that is of use, and never against the user's word."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_seg.process import huge_pages
from edge_seg.process.huge_pages import SIZE, SYSTEM, VARIABLE, asked_for
from edge_seg.process.running import Limits
from edge_seg.targets.local import Local, run_leashed

LIMITS = Limits(lines=10, bytes=1000, seconds=20)
System = Callable[..., None]


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """Makes the kernel's files say something else."""

    def say(enabled: str = "always [madvise] never", size: object = SIZE) -> None:
        (tmp_path / "enabled").write_text(f"{enabled}\n")
        (tmp_path / "hpage_pmd_size").write_text(f"{size}\n")
        monkeypatch.setattr(huge_pages, "SYSTEM", tmp_path)

    return say


def test_they_are_asked_for_where_the_system_waits_for_it(system: System) -> None:
    system()
    assert asked_for({}) == {VARIABLE: "glibc.malloc.hugetlb=1"}
    both = asked_for({VARIABLE: "glibc.malloc.check=1"})
    assert both == {VARIABLE: "glibc.malloc.check=1:glibc.malloc.hugetlb=1"}


@pytest.mark.parametrize("word", ["0", "1", "2"])
def test_what_the_user_says_stands(word: str, system: System) -> None:
    system()
    assert asked_for({VARIABLE: f"glibc.malloc.hugetlb={word}"}) == {}


@pytest.mark.parametrize("enabled", ["[always] madvise never", "always madvise [never]", ""])
def test_nothing_is_said_where_the_system_decides(enabled: str, system: System) -> None:
    system(enabled)
    assert asked_for({}) == {}


@pytest.mark.parametrize("size", [32 << 20, 512 << 20, "", "big"])
def test_pages_that_would_cost_memory_are_left(size: object, system: System) -> None:
    system(size=size)
    assert asked_for({}) == {}


def test_a_system_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "SYSTEM", tmp_path / "none")
    assert asked_for({}) == {}


@pytest.mark.skipif(not asked_for({}), reason=f"{SYSTEM} doesn't wait to be asked for huge pages")
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


def test_a_command_starts_itself_anew_once_with_its_words(tmp_path: Path, system: System) -> None:
    system()
    command = tmp_path / "command.py"
    command.write_text(
        "import os, sys, click\nfrom pathlib import Path\n"
        "from edge_seg.process import guard, huge_pages\n"
        f"huge_pages.SYSTEM = Path({str(tmp_path)!r})\n"
        "print('started', flush=True)\n"
        "@click.command()\n@click.argument('word')\n@guard.in_huge_pages\n"
        "def act(word): print(word, os.environ['GLIBC_TUNABLES'])\n"
        "act.main(obj=[sys.executable, *sys.orig_argv[1:]])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    words = [sys.executable, str(command), "a b"]
    done = subprocess.run(words, env={**environment, "PYTHONPATH": os.getcwd()}, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["started", "started", "a b glibc.malloc.hugetlb=1"], done.stderr


def test_whatever_runs_on_this_machine_has_the_same(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    system()
    said = []
    for in_huge_pages in (True, False):
        with run_leashed(["sh", "-c", f"echo ${VARIABLE}"], in_huge_pages=in_huge_pages) as running:
            said += list(running.lines(10, LIMITS))
    with Local().run(["sh", "-c", f"echo ${VARIABLE}"]) as running:
        said += list(running.lines(10, LIMITS))
    assert said == ["glibc.malloc.hugetlb=1", "", "glibc.malloc.hugetlb=1"]
