"""One Segmenter in several threads and processes: right, or refused by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

_BEGIN = """
import multiprocessing, os, sys, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from edge_seg import Segmenter
from edge_seg.errors import EdgeSegError

def images(count):
    noise = np.random.default_rng(1)
    return [noise.integers(0, 256, (100 + 30 * n, 180 - 10 * n, 3), np.uint8) for n in range(count)]

def told(found):
    return found.boxes.tobytes() + found.scores.tobytes() + repr(found.rles).encode()

if __name__ == "__main__":
    segmenter = Segmenter(sys.argv[1], score=0.0)
    given = images(6)
    alone = [told(segmenter(image)) for image in given]
    assert len(set(alone)) == 6
"""
_FOUR_THREADS = """
    def work(number):
        return [told(segmenter(given[(number + n) % 6])) == alone[(number + n) % 6] for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        assert all(all(right) for right in pool.map(work, range(4)))
    print("right")
"""
_MANY_THREADS = """
    def memory():
        return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    def burst(count):
        for _ in range(count):
            thread = threading.Thread(target=segmenter, args=(given[0],))
            thread.start()
            thread.join()
    burst(40)
    before = memory()
    burst(80)
    print("right" if memory() - before < 20 << 20 else f"{(memory() - before) >> 10} kB for 80 threads")
"""
_FORK = """
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        try:
            segmenter(given[0])
        except EdgeSegError as problem:
            os.write(write_end, problem.code.encode())
        segmenter.close()
        os._exit(0)
    os.wait()
    assert os.read(read_end, 100) == b"engine-forked"
    assert told(segmenter(given[0])) == alone[0]
    print("right")
"""
_SPAWN = """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.map(segmenter, given[:2])
    assert [told(one) for one in found] == alone[:2]
    print("right")
"""


def run(bundle: Path, code: str, tmp_path: Path) -> None:
    """A process of its own: what goes wrong here ends it."""
    file = tmp_path / "program.py"
    file.write_text(_BEGIN + code)
    command = [sys.executable, str(file), str(bundle)]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/bin"}, capture_output=True, text=True, timeout=250
    )
    assert (done.returncode, done.stdout.strip()) == (0, "right"), done.stderr


RECIPES = ["cpu-fp32", "x86-fp32", "onnx-fp32"]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_four_threads_share_a_segmenter(recipe: str, tiny_bundles: Path, tmp_path: Path) -> None:
    run(tiny_bundles / recipe, _FOUR_THREADS, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_thread_for_each_image_costs_no_memory(recipe: str, tiny_bundles: Path, tmp_path: Path) -> None:
    run(tiny_bundles / recipe, _MANY_THREADS, tmp_path)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_fork_is_refused_by_name(recipe: str, tiny_bundles: Path, tmp_path: Path) -> None:
    run(tiny_bundles / recipe, _FORK, tmp_path)


def test_a_spawned_process_loads_its_own(tiny_bundles: Path, tmp_path: Path) -> None:
    run(tiny_bundles / "onnx-fp32", _SPAWN, tmp_path)
