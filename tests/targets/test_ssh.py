"""ssh as the user has it, against a real sshd on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_seg.bundle import open_bundle
from edge_seg.errors import MissingDependencyError, TargetError, UsageError
from edge_seg.records.board_state import snapshots
from edge_seg.records.machine import describe
from edge_seg.targets import open_target
from edge_seg.targets.drive import drive
from edge_seg.targets.placing import place_bundle
from edge_seg.targets.remote import Board
from tests.bundles.made import make_bundle
from tests.targets.conftest import FAKE_RUNNER
from tests.targets.sshd import CuttingProxy, Sshd, free_port

NAMES = "a 'quoted' \"name\"\nof $HOME `ls` \\ * ünïcödé"


def open_board(board: Sshd, runner: tuple[str, ...] = (), folder: str | None = None) -> Board:
    opened = open_target(board.name, runner=runner, folder=folder)
    assert isinstance(opened, Board)
    return opened


def test_push_run_pull(board: Sshd, tmp_path: Path) -> None:
    source = tmp_path / NAMES
    (source / "inner").mkdir(parents=True)
    content = os.urandom(300_000)
    (source / "inner" / NAMES).write_bytes(content)
    with open_board(board, folder=NAMES) as opened:
        assert opened.folder == str(board.home / NAMES)
        there = opened.push(source)
        assert opened.push(source) == there, "what is there already isn't copied again"
        assert Path(there, "inner", NAMES).read_bytes() == content
        assert Path(opened.push(source / "inner" / NAMES)).read_bytes() == content
        opened.pull(f"{there}/inner/{NAMES}", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == content
        with opened.run(["sh", "-c", 'printf "%s\\n" "$@"; echo words >&2; exit 3', "sh", NAMES, ""]) as running:
            assert "\n".join(running.lines(20)) == f"{NAMES}\n"
            assert running.wait(20) == 3
            assert running.stderr_tail == ["words"]
        with pytest.raises(TargetError, match="No such file"):
            opened.pull("/no/such/file", tmp_path / "none")
        assert not (tmp_path / "none").exists()
    assert list((board.home / NAMES).iterdir()) == [], "nothing is left there"


def test_one_connection_is_shared(board: Sshd) -> None:
    before = (board.folder / "log").read_text().count("Accepted publickey")
    with open_board(board) as opened:
        assert [opened.ask('echo "$1"', word) for word in "abc"] == list("abc")
        words = opened.link.command("true")
        private = Path(words[words.index("-S") + 1]).parent
        assert private.stat().st_mode & 0o777 == 0o700
    assert not private.exists()
    assert (board.folder / "log").read_text().count("Accepted publickey") == before + 1


def test_a_name_of_the_users_settings(board: Sshd) -> None:
    with open_target("ssh://board") as opened:
        assert isinstance(opened, Board)
        assert opened.ask("pwd") == str(board.home)


def test_lines_come_as_they_are_written(board: Sshd) -> None:
    with open_board(board) as opened:
        opened.ask("true")
        begin = time.monotonic()
        with opened.run(["sh", "-c", "echo 1; sleep 3; echo 2"]) as running:
            assert next(running.lines(20)) == "1"
            assert time.monotonic() - begin < 2.5


def test_a_command_ends_with_its_reader(board: Sshd) -> None:
    """Or a board would measure, or watch itself, for ever."""
    with open_board(board) as opened:
        with opened.run(["sh", "-c", "echo $$; exec sleep 100"]) as running:
            number = next(running.lines(20))
            assert Path(f"/proc/{number}").exists()
        assert not Path(f"/proc/{number}").exists()


def test_a_command_ends_with_this_process(board: Sshd, tmp_path: Path) -> None:
    """Even when it is killed, and what it had pushed goes with the next session."""
    script = tmp_path / "killed.py"
    script.write_text(
        "from pathlib import Path\nfrom edge_seg.targets import open_target\n"
        f"board = open_target({board.name!r})\nboard.push(Path(__file__))\n"
        "print(next(board.run(['sh', '-c', 'echo $$; exec sleep 100']).lines(20)), flush=True)\n"
        "import time\ntime.sleep(60)\n"
    )
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    ) as process:
        assert process.stdout is not None
        number = process.stdout.readline().strip()
        (left,) = (board.home / "edge-seg").iterdir()
        process.kill()
    for _ in range(100):
        if not Path(f"/proc/{number}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{number}").exists()
    with open_board(board) as opened:
        opened.push(Path(__file__))
        assert not left.exists()


def test_runners_are_found(board: Sshd) -> None:
    with open_board(board) as opened, pytest.raises(TargetError, match="no runner there") as caught:
        drive(opened, ["--json"], silence=20)
    assert "edge-seg board deploy" in caught.value.remedy
    script = board.home / "edge-seg" / "run"
    script.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{FAKE_RUNNER}' none \"$@\"\n")
    script.chmod(0o755)
    with open_board(board) as opened:
        outcome = drive(opened, ["--images", NAMES, "--repeat", "2", "--json"], silence=20)
        assert [sample["image"] for sample in outcome.samples] == [NAMES, NAMES]
        assert outcome.cpu_seconds is None
    named = (sys.executable, str(FAKE_RUNNER), "killed")
    with open_board(board, named) as opened, pytest.raises(Exception, match="killed by SIGABRT"):
        drive(opened, ["--images", "x", "--repeat", "2", "--json"], silence=20)


# What goes wrong


def refused(name: str) -> TargetError:
    with open_target(name) as opened, pytest.raises(TargetError) as caught:
        opened.push(Path(__file__))
    assert caught.value.remedy
    return caught.value


def test_nobody_there(board: Sshd) -> None:
    assert refused(f"ssh://127.0.0.1:{free_port()}").code == "unreachable"
    assert refused("ssh://no-such-host.invalid").code in ("host-unknown", "unreachable")


def test_unknown_and_changed_host_keys(board: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = tmp_path / "known"
    options = f"-o UserKnownHostsFile={known} -o GlobalKnownHostsFile=/dev/null {board.options}"
    monkeypatch.setenv("EDGE_SEG_SSH_OPTIONS", options)
    known.touch()
    error = refused(board.name)
    assert (error.code, f"ssh -p {board.port} 127.0.0.1" in error.remedy) == ("host-key-unknown", True)
    known.write_text(f"[127.0.0.1]:{board.port} {(board.folder / 'user.pub').read_text()}")
    assert refused(board.name).code == "host-key-changed"


def test_refused_key(board: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    monkeypatch.setenv("EDGE_SEG_SSH_OPTIONS", f"-i {tmp_path}/other -o IdentityAgent=none {board.options}")
    board.config.write_text(board.config.read_text().replace("IdentityFile", "#IdentityFile"))
    try:
        error = refused(board.name)
    finally:
        board.config.write_text(board.config.read_text().replace("#IdentityFile", "IdentityFile"))
    assert (error.code, "ssh-copy-id" in error.remedy) == ("key-refused", True)


def test_settings_that_ssh_does_not_understand(board: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_SEG_SSH_OPTIONS", "-o NoSuchOption=1")
    assert refused(board.name).code == "ssh-settings"
    monkeypatch.setenv("EDGE_SEG_SSH_OPTIONS", "-F 'a")
    with open_target(board.name) as opened, pytest.raises(UsageError, match="EDGE_SEG_SSH_OPTIONS"):
        opened.push(Path(__file__))


def test_ssh_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with open_target("ssh://x") as opened, pytest.raises(MissingDependencyError, match="apt install openssh-client"):
        opened.push(Path(__file__))


def test_broken_link(board: Sshd, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(1_000_000))
    with CuttingProxy(board.port, 500_000) as proxy:
        name = f"ssh://127.0.0.1:{proxy.port}"
        board.trust(proxy.port)
        with open_target(name) as opened, pytest.raises(TargetError) as caught:
            opened.push(tmp_path / "large")
    assert caught.value.code == "link-lost"
    assert name in caught.value.message


def test_folder_that_can_not_be_made(board: Sshd) -> None:
    (board.home / "file").touch()
    with open_board(board, folder="file/folder") as opened, pytest.raises(TargetError, match="Not a directory"):
        opened.push(Path(__file__))
    with open_board(board, folder="/proc/none") as opened, pytest.raises(TargetError):
        opened.push(Path(__file__))


@pytest.mark.parametrize(
    "name", ["ssh://", "ssh://-oProxyCommand=x", "ssh://a@-b", "ssh://a b", "ssh://host:port", "ssh://host/folder"]
)
def test_what_is_no_address(name: str) -> None:
    with pytest.raises(UsageError, match="not an address"):
        open_target(name)


@pytest.mark.parametrize(("name", "words"), [("ssh", "targets are"), ("pi@board", "ssh://pi@board"), ("", "targets")])
def test_what_is_no_target(name: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_target(name)
    assert words in caught.value.remedy


def test_addresses_of_the_sixth_version(board: Sshd) -> None:
    opened = open_target(f"ssh://me@[::1]:{free_port()}")
    with opened, pytest.raises(TargetError) as caught:
        opened.push(Path(__file__))
    assert caught.value.code == "unreachable"


@pytest.mark.slow
def test_a_bundle_that_lies_there_is_not_sent_again(
    board: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    opened = open_bundle(bundle)
    sent: list[str] = []
    copy = Board.copy

    def counted(self: Board, source: Path, to: str) -> None:
        sent.append(source.name)
        if source.name == fails:
            raise TargetError("the connection broke")
        copy(self, source, to)

    monkeypatch.setattr(Board, "copy", counted)
    last = sorted(opened.files)[-1]
    fails = Path(last).name
    with open_board(board) as target, pytest.raises(TargetError):
        place_bundle(target, bundle, opened.id, opened.files, keep=True)
    assert len(sent) == len(opened.files)
    sent.clear()
    fails = ""
    with open_board(board) as target:
        there = place_bundle(target, bundle, opened.id, opened.files, keep=True)
        assert sent == [Path(last).name, "manifest.json"], "it goes on where it broke"
        assert open_bundle(Path(there)).id == opened.id
    sent.clear()
    with open_board(board) as target:
        assert place_bundle(target, bundle, opened.id, opened.files) == there
        assert sent == []
    deployed = board.home / "edge-seg" / "versions" / "3f2a" / "bundle"
    deployed.parent.mkdir(parents=True)
    Path(there).rename(deployed)
    with open_board(board) as target:
        assert place_bundle(target, bundle, opened.id, opened.files) == str(deployed)


def test_a_greeting_is_not_what_was_asked_for(board: Sshd, tmp_path: Path) -> None:
    login = board.folder / "login"
    quiet = login.read_text()
    try:
        login.write_text(
            quiet.replace("exec sh -c", "echo; echo 'Welcome to = Board'; echo .; printf 'last login: '\nexec sh -c")
        )
        (tmp_path / "file").write_bytes(b"\x00content\n")
        with open_board(board) as opened:
            assert opened.ask("echo hello") == "hello"
            assert opened.folder == str(board.home / "edge-seg")
            there = opened.push(tmp_path / "file")
            opened.pull(there, tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == b"\x00content\n"
            (state,) = snapshots(opened, 1)
            assert state.load_average is not None
            assert describe(opened).arch
    finally:
        login.write_text(quiet)
