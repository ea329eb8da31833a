"""adb as the user has it, against a device that speaks its protocol."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_seg.errors import EdgeSegError, MissingDependencyError, TargetError, UsageError
from edge_seg.targets import open_target
from edge_seg.targets.remote import Board
from tests.targets.android import Device
from tests.targets.sshd import free_port


@pytest.fixture(scope="session")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """adb's own server on a port of its own: the user's is left alone."""
    if shutil.which("adb") is None:
        pytest.skip("adb isn't installed: apt install adb")
    home = tmp_path_factory.mktemp("adb")
    settings = {"ANDROID_ADB_SERVER_PORT": str(free_port()), "HOME": str(home)}
    environment = {**os.environ, **settings}
    subprocess.run(["adb", "start-server"], env=environment, capture_output=True, check=True, timeout=60)
    yield settings
    subprocess.run(["adb", "kill-server"], env=environment, capture_output=True, timeout=60)


@pytest.fixture
def device(adb_server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    for name, value in adb_server.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "device").mkdir()
    running = Device(tmp_path / "device")
    done = subprocess.run(["adb", "connect", running.serial], capture_output=True, text=True, timeout=60)
    assert "connected to" in done.stdout
    yield running
    subprocess.run(["adb", "disconnect", running.serial], capture_output=True, timeout=60)
    running.close()


def open_device(device: Device) -> Board:
    board = open_target(f"adb:{device.serial}", folder=str(device.home / "a folder's"))
    assert isinstance(board, Board)
    return board


def test_push_run_pull(device: Device, tmp_path: Path) -> None:
    source = tmp_path / "a 'source'\nü"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "fi le").write_bytes(bytes(range(256)) * 1000)
    with open_device(device) as board:
        there = board.push(source)
        assert board.push(source) == there, "what is there already isn't copied again"
        assert Path(there, "inner/fi le").read_bytes() == bytes(range(256)) * 1000
        board.pull(f"{there}/inner/fi le", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == bytes(range(256)) * 1000
        one = board.push(source / "inner" / "fi le")
        assert Path(one).stat().st_size == 256_000
        with board.run(["sh", "-c", 'echo "$1"; echo two; echo words >&2; exit 3', "sh", "a 'b' \"c\"\nd"]) as running:
            assert list(running.lines(20)) == ["a 'b' \"c\"", "d", "two"]
            assert running.wait(20) == 3
            assert running.stderr_tail == ["words"]
    assert list((device.home / "a folder's").iterdir()) == [], "nothing is left there"


def test_a_command_ends_with_its_reader(device: Device) -> None:
    with open_device(device) as board:
        with board.run(["sh", "-c", "echo $$; exec sleep 100"]) as running:
            number = next(running.lines(20))
            assert Path(f"/proc/{number}").exists()
        assert not Path(f"/proc/{number}").exists()


def test_full_disk(device: Device, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(1_000_000))
    device.full_after = 500_000
    with open_device(device) as board, pytest.raises(TargetError, match="disk is full") as caught:
        board.push(tmp_path / "large")
    assert caught.value.code == "target-full"


def test_unplugged(device: Device) -> None:
    """adb itself says nothing then, and reports success."""
    with open_device(device) as board:
        assert board.ask("echo 1; echo 2") == "1\n2"
        threading.Timer(0.5, device.unplug).start()
        with pytest.raises(TargetError, match="the connection broke") as caught:
            board.ask("echo 1; exec sleep 100")
    assert caught.value.code == "link-lost"


def test_unknown_device(adb_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in adb_server.items():
        monkeypatch.setenv(name, value)
    with open_target("adb:no-such-device") as board, pytest.raises(TargetError, match="knows no such device") as caught:
        board.push(Path(__file__))
    assert caught.value.code == "unreachable"
    assert "adb devices" in caught.value.remedy


def test_adb_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with open_target("adb:x") as board, pytest.raises(MissingDependencyError, match="apt install adb"):
        board.push(Path(__file__))


@pytest.mark.parametrize("serial", ["", "-s", "a b", "x;reboot"])
def test_what_is_no_serial(serial: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_target(f"adb:{serial}")
    assert isinstance(caught.value, EdgeSegError)
