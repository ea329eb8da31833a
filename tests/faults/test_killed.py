"""Every command that writes, killed at any moment: the old result or the new one, whole, and the command works again.

The ordinary run kills each once or thrice; ``EDGE_SEG_KILLS=200`` so often in all, ``EDGE_SEG_KILLS_SEED`` at others.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_seg.bundle import open_bundle
from edge_seg.bundles.check import open_sound
from edge_seg.bundles.pack import unpack
from edge_seg.records.record import read
from edge_seg.train.run import WEIGHTS, read_config
from edge_seg.train.weights import read_arrays
from tests.conftest import ROOT
from tests.faults.world import Command, World, clear_end, run

KILLS = int(os.environ.get("EDGE_SEG_KILLS", "0"))
SEED = os.environ.get("EDGE_SEG_KILLS_SEED", "1")
NAMES = (
    *("synth", "predict", "bench", "train", "convert", "pack", "tune", "deploy", "labelme", "split", "weights"),
    *("prune", "sign", "keygen", "unpack", "records", "page"),
)
FAST, LONG = {"sign", "keygen"}, {"tune", "deploy", "bench", "predict"}
SUFFIXES = {"bench": ".jsonl", "records": ".jsonl", "pack": ".tar.gz", "page": ".html"}
NEW = {"synth", "train", "labelme", "split", "weights", "keygen", "records"}
"""Those that write what isn't there yet, and replace nothing; a training goes on with what is there."""
_DIES_S = 0.2  # a guarded command's child is told by the kernel


@dataclass(frozen=True)
class Lasts:
    """Seconds of a command: until it begins to write, and until it ends."""

    first: float
    whole: float


def names_in(place: Path) -> set[str]:
    return {entry.name for entry in os.scandir(place)}


def start(words: Command) -> subprocess.Popen[bytes]:
    # A session of its own: what it leaves running can be found.
    return subprocess.Popen(
        [sys.executable, "-m", "edge_seg.cli", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for_writing(process: subprocess.Popen[bytes], place: Path, before: set[str], limit: float) -> float:
    """Seconds until something new stands in ``place``, or the process has ended."""
    begun = time.monotonic()
    while process.poll() is None and time.monotonic() - begun < limit and names_in(place) <= before:
        time.sleep(0.001)
    return time.monotonic() - begun


def kill(process: subprocess.Popen[bytes], name: str) -> None:
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    time.sleep(_DIES_S)
    while living(process.pid):
        assert time.monotonic() < deadline, f"{name}: a child outlives the command that was killed"
        time.sleep(0.05)


def living(session: int) -> bool:
    """Whether a process of that session is still there."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True


def is_whole(name: str, place: Path, board: Path | None) -> bool:
    """Whether the command's result is there; fails when it is there in part."""
    if board is not None:
        runner = board / "edge-seg" / "run"
        if not runner.exists():
            return False
        done = subprocess.run([runner, "--self-test", "--json"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done
        return True
    out = place / f"out{SUFFIXES.get(name, '')}"
    if not out.exists():
        return False
    if name in ("bench", "records"):
        records, bad = read(out)
        assert not bad
        return bool(records)
    if name == "pack":
        unpack(out, place / "unpacked")
    elif name in ("convert", "unpack"):
        open_sound(out)
    elif name == "sign":
        open_bundle(out)  # refuses a wrong signature
        assert (out / "signature.json").is_file()
    elif name == "keygen":
        assert out.read_bytes().rstrip().endswith(b"-----END PRIVATE KEY-----")
        return (place / "out.pub").exists()
    elif name == "predict":
        file = out / "predictions.json"
        return file.exists() and json.loads(file.read_text()) is not None
    elif name == "tune":
        file = out / "tune.json"
        return file.exists() and json.loads(file.read_text()) is not None
    elif name in ("train", "weights", "prune"):
        assert read_config(out).classes
        return (out / WEIGHTS).exists() and len(read_arrays(out / WEIGHTS)) > 0
    elif name == "page":
        assert out.read_text().rstrip().endswith("</html>")
    else:
        assert run(["data", "check", str(out)]).returncode == 0
    return True


def numbered(name: str, words: Command, number: int) -> Command:
    """Another version each time: only then is the bundle's folder replaced."""
    return [*words, "--version", str(number + 1)] if name == "sign" else words


def clear_away(place: Path) -> None:
    """Makes room for a command that replaces nothing."""
    shutil.rmtree(place / "out", ignore_errors=True)
    for file in (place / "out", place / "out.pub", place / "out.jsonl"):
        file.unlink(missing_ok=True)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in NAMES]
)
def test_killed_at_any_moment(
    name: str, world: World, words: Command, place: Path, request: pytest.FixtureRequest
) -> None:
    if name in LONG and not KILLS:
        pytest.skip("lasts long: EDGE_SEG_KILLS=200 kills it too")
    board: Path | None = request.getfixturevalue("board").home if name == "deploy" else None
    writes = place if board is None else board
    chance = random.Random(f"{SEED} {name}")
    lasts = measured(words, writes)
    assert is_whole(name, place, board)
    stays = name not in NEW
    for number in range(KILLS // len(NAMES) or (3 if name in FAST else 1)):
        if not stays and is_whole(name, place, board):
            clear_away(place)
        again = numbered(name, words, number)
        before = names_in(writes)
        process = start(again)
        if number % 2:  # while it writes, as far as that can be met
            wait_for_writing(process, writes, before, 2 * lasts.whole)
            moment = chance.uniform(0, 1.2) * (lasts.whole - lasts.first)
        else:
            moment = chance.uniform(0.1, 1.1) * lasts.whole
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            kill(process, name)
        assert is_whole(name, place, board) or not stays
    if not stays and is_whole(name, place, board):
        clear_away(place)
    clear_end(run(numbered(name, words, KILLS + 3)), place, (0,))
    assert is_whole(name, place, board)


def measured(words: Command, place: Path) -> Lasts:
    before, begun = names_in(place), time.monotonic()
    process = start(words)
    first = wait_for_writing(process, place, before, 400)
    assert process.wait(400) == 0
    return Lasts(first, time.monotonic() - begun)
