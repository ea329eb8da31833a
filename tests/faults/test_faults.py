"""The commands on a machine that lacks something, or while it fails: a clear end, and nothing left behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.world import Command, World, clear_end, run

NOBODY = 65534
NAMES = ["synth", "predict", "bench", "train", "convert", "pack", "tune", "deploy"]
FAST = {"pack"}
"""The others take more than five seconds: they import paddle or open a library."""
_PARAMETERS = {name: pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in NAMES}
every_command = pytest.mark.parametrize("name", _PARAMETERS.values())
but_for_searches = pytest.mark.parametrize("name", [_PARAMETERS[name] for name in NAMES if name != "tune"])
"""A whole search lasts a minute, and its conversions, trials and measurements are what the other commands do."""


@every_command
def test_without_a_home_and_in_plain_c(name: str, words: Command, place: Path) -> None:
    done = run(words, HOME=None, XDG_CONFIG_HOME=None, XDG_CACHE_HOME=None, LANG="C", LC_ALL="C", TERM=None)
    clear_end(done, place, (0,))


@every_command
@pytest.mark.parametrize("limit", [0, 20_000])
def test_a_full_disk(name: str, limit: int, words: Command, place: Path) -> None:
    def prepare() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = run(words, prepare)
    clear_end(done, place, (0, 1) if limit or name == "deploy" else (1,))  # deploy writes to the board


@but_for_searches
def test_few_open_files(name: str, words: Command, place: Path) -> None:
    done = run(words, lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
    clear_end(done, place, (0, 1))


@every_command
def test_little_memory(name: str, words: Command, place: Path) -> None:
    bytes_ = 600 << 20
    done = run(words, lambda: resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_)))
    clear_end(done, place, (0, 1))


@but_for_searches
def test_nobody_reads_what_is_printed(name: str, words: Command, place: Path) -> None:
    def prepare() -> None:
        os.close(1)

    clear_end(run(words, prepare), place, (0,))


@every_command
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_in_a_read_only_folder(name: str, words: Command, world: World, place: Path) -> None:
    def prepare() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)

    for folder in (world.folder, world.bundles, place):
        for path in (folder, *folder.parents):
            if path.is_relative_to("/tmp") and path != Path("/tmp"):
                path.chmod(path.stat().st_mode | 0o755)
    try:
        subprocess.run([sys.executable, "-c", "import edge_seg"], cwd=ROOT, preexec_fn=prepare, check=True)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("other users can't run this interpreter or read this checkout")
    done = run(words, prepare, HOME="/nonexistent")
    clear_end(done, place, (1, 2))
    assert "ermission denied" in done.stderr
    assert list(place.iterdir()) == []


@but_for_searches
def test_without_shared_memory(name: str, words: Command, place: Path) -> None:
    """As in a container whose /dev/shm can't be written."""
    alone = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro none /dev/shm && exec "$@"', "sh"]
    tried = subprocess.run([*alone, "true"], capture_output=True)
    if tried.returncode:
        pytest.skip("this user can't mount anything (unshare --mount)")
    clear_end(run(words, before=alone), place, (0,))
