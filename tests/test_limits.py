"""What a machine, or a container on it, has memory for."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_seg import limits
from tests.conftest import ROOT

GIB = 1 << 30
PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

# Groups of /proc/self/cgroup, the limits' files, and the least of them.
CASES: dict[str, tuple[str, dict[str, str], int]] = {
    "no groups": ("", {}, PHYSICAL),
    "a container, version 2": ("0::/\n", {"memory.max": "536870912\n"}, GIB // 2),
    "no limit, version 2": ("0::/user/one\n", {"memory.max": "max\n", "user/memory.max": "max\n"}, PHYSICAL),
    "a group's own limit": ("0::/a/b\n", {"a/memory.max": f"{GIB}\n", "a/b/memory.max": "max\n"}, GIB),
    "the least of several": ("0::/a/b\n", {"a/memory.max": "1000000\n", "a/b/memory.max": f"{GIB}\n"}, 1_000_000),
    "version 1": ("7:pids:/x\n4:cpu,memory:/x\n0::/\n", {"memory/x/memory.limit_in_bytes": f"{GIB}\n"}, GIB),
    "version 1, seen from inside": ("4:memory:/docker/12\n", {"memory/memory.limit_in_bytes": f"{GIB}\n"}, GIB),
    "no limit, version 1": ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, PHYSICAL),
    "another controller": ("4:pids:/\n", {"memory/memory.limit_in_bytes": "1\n"}, PHYSICAL),
    "out of the tree": ("0::/../../up\nnonsense\n", {"memory.max": f"{GIB}\n"}, GIB),
}


def system(folder: Path, groups: str, files: dict[str, str]) -> Path:
    """A root folder with these control groups."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = folder / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_containers_memory(name: str, tmp_path: Path) -> None:
    groups, files, expected = CASES[name]
    assert limits.memory_bytes(system(tmp_path, groups, files)) == expected


def test_both_languages_read_the_same(tmp_path: Path) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler (c++) on the path")
    main = tmp_path / "main.cc"
    main.write_text(
        '#include <cstdio>\n#include "core/limits.h"\n'
        "int main(int n, char** words) {\n"
        "    for (int i = 1; i < n; i++)\n"
        '        std::printf("%llu\\n", (unsigned long long)edge_seg::memory_bytes(words[i]));\n'
        "}\n"
    )
    source = ROOT / "cmake" / "src"
    files = [main, source / "core/limits.cc"]
    words = [compiler, "-std=c++17", "-O0", f"-I{source}", *map(str, files), "-o", str(tmp_path / "read")]
    subprocess.run(words, check=True)
    roots = [str(system(tmp_path / str(n), *case[:2])) for n, case in enumerate(CASES.values())]
    done = subprocess.run([str(tmp_path / "read"), *roots], capture_output=True, text=True, check=True)
    assert list(map(int, done.stdout.split())) == [expected for *_, expected in CASES.values()]


def test_the_pixels_follow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(limits.PIXELS_VARIABLE, raising=False)
    monkeypatch.setattr(limits, "memory_bytes", lambda: GIB)
    assert limits.image_pixels() == GIB // 24
    monkeypatch.setattr(limits, "memory_bytes", lambda: GIB // 16)
    assert limits.image_pixels() == 1 << 24
    monkeypatch.setenv(limits.PIXELS_VARIABLE, "1000")
    assert limits.image_pixels() == 1000
