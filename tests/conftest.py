"""Fixtures that several test packages use."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pages.browser import Browser, browser_process

ROOT = Path(__file__).parents[1]
Finished = subprocess.CompletedProcess[str]

# Started in the background by a script, tests inherit that Ctrl-C is ignored, and so would the commands they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def edge_seg(tmp_path: Path) -> Callable[..., Finished]:
    """``edge_seg("zoo", "--json")`` runs the command as a user would, in a process of its own.

    ``file_limit=N`` lets no file grow beyond N bytes, which fails as a full disk does.
    """

    def run(*arguments: str | Path, file_limit: int | None = None, **options: Any) -> Finished:
        def limit() -> None:
            assert file_limit is not None
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

        options = {"cwd": tmp_path, "timeout": 300, **options}
        options["env"] = {**os.environ, "PYTHONPATH": str(ROOT), **options.get("env", {})}
        return subprocess.run(
            [sys.executable, "-m", "edge_seg.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            preexec_fn=limit if file_limit is not None else None,
            **options,
        )

    return run


def with_etc(folder: Path) -> list[str]:
    """The words before a command that finds ``folder`` as its /etc, and nothing else of it; skips where nobody can."""
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    words = ["unshare", *root, "--mount", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', str(folder)]
    try:
        subprocess.run([*words, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user can't mount anything (unshare --mount)")
    return words


@pytest.fixture(scope="session")
def tiny_bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real bundles of one untrained tiny model, 128 x 128, named as their recipes, which stand below.

    Made once for all tests, by one worker for the others: copy what you change.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    out = shared / "tiny-bundles"
    words = ["convert", "mask_rcnn_tiny_fpn", "--random-weights", "--seed", "1", "--classes", "3", "--size", "128"]
    recipes = "x86-fp32,cpu-fp32,arm-fp32,onnx-fp32,ncnn-fp32"
    with (shared / "tiny-bundles.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.exists():
            done = subprocess.run(
                [sys.executable, "-m", "edge_seg.cli", *words, "--recipe", recipes, "--out", out],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=1200,  # a busy machine, five recipes
            )
            assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Headless Chromium, started once: ``browser.look(page, folder)`` holds a page against the rules of all pages."""
    with browser_process(tmp_path_factory.mktemp("chromium") / "profile") as running:
        yield running
