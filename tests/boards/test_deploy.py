"""edge-seg board deploy over a real sshd: whatever happens, the board has a version that works."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_seg.boards.deploy import REMOVE, RESTART, _surplus
from edge_seg.boards.state import State
from tests.boards.conftest import board_command, deploy, make_runner
from tests.boards.test_pack import LITE, program
from tests.bundles.made import edit
from tests.targets.sshd import CuttingProxy, Sshd

Run = Callable[..., tuple[int, dict[str, Any], str]]
Pack = Callable[..., Path]


@pytest.fixture
def pack(run: Run, x86: Path, runner: Path, tmp_path: Path) -> Pack:
    """Packs the bundle with ``ballast`` bytes of a library of noise, by which one archive differs from another."""

    def make(name: str, ballast: int = 100, runner: Path = runner, bundle: Path = x86) -> Path:
        out = tmp_path / f"{name}.tar.gz"
        library = program(tmp_path / "libballast.so", machine=62, interpreter="")
        with library.open("ab") as file:
            file.write(os.urandom(ballast))
        code, said, _ = run(
            "board", "pack", bundle, "--arch", "x86", "--runner", runner, "--library", library, "--out", out
        )
        assert code == 0, said
        return out

    return make


def works(folder: Path) -> bool:
    """Whether what the board's link leads to passes its self-test."""
    done = subprocess.run([folder / "run", "--self-test", "--json"], capture_output=True, text=True, timeout=60)
    return done.returncode == 0 and '"passed":true' in done.stdout.replace(" ", "")


def versions(folder: Path) -> set[str]:
    return {entry.name for entry in (folder / "versions").iterdir()}


@pytest.mark.slow
def test_versions_come_and_go(run: Run, pack: Pack, board: Sshd) -> None:
    folder = board.home / "edge-seg"
    first, second, third = (pack(name) for name in "abc")
    code, said, err = deploy(run, first, board.name)
    assert code == 0, said
    one = said["current"]
    assert (said["previous"], said["folder"]) == (None, str(folder))
    assert said["self_test"]["passed"]
    assert f"version {one} passed its self-test and runs now" in said["happened"]
    assert "copying" in err
    assert works(folder)
    _, said, _ = deploy(run, second, board.name)
    two = said["current"]
    assert (said["previous"], said["removed"]) == (one, [])
    assert f"instead of {one}" in said["happened"]
    _, said, _ = deploy(run, third, board.name)
    three = said["current"]
    assert (said["previous"], said["removed"]) == (two, [one])
    assert versions(folder) == {two, three}
    assert (folder / "run").readlink() == Path(f"versions/{three}/run")
    code, said, _ = board_command(run, "rollback", board.name)
    assert (code, said["current"], said["previous"]) == (0, two, three)
    assert works(folder)
    code, said, _ = deploy(run, third, board.name)
    assert (said["current"], said["previous"]) == (three, two)
    assert "it was there already" in said["happened"]
    code, said, _ = board_command(run, "clean", board.name)
    assert (code, said["versions"], said["removed"]) == (0, [three], [two])
    assert works(folder)
    code, said, _ = board_command(run, "rollback", board.name)
    assert (code, said["error"]["code"]) == (1, "no-previous")
    code, said, _ = board_command(run, "status", board.name)
    assert (code, said["current"]) == (0, three)
    assert sorted(entry.name for entry in folder.iterdir()) == ["run", "versions"]


@pytest.fixture
def deployed(run: Run, pack: Pack, board: Sshd) -> Iterator[tuple[Path, str]]:
    """A folder with a name of all kinds, a version that works in it; and at the end it works still."""
    folder = board.home / "a 'board' and\n\"more\" ü"
    code, said, _ = deploy(run, pack("old"), board.name, "--dir", folder)
    assert code == 0, said
    yield folder, said["current"]
    assert works(folder)
    assert versions(folder) == {said["current"]}, "nothing of the failed one is left"
    assert (folder / "run").readlink() == Path(f"versions/{said['current']}/run")


def fails(run: Run, archive: Path, name: str, deployed: tuple[Path, str]) -> dict[str, str]:
    """The error of a deployment that must fail; it says what runs on the board."""
    folder, old = deployed
    code, said, _ = deploy(run, archive, name, "--dir", folder)
    assert code == 1
    error: dict[str, str] = said["error"]
    assert error["remedy"]
    if error["code"] != "wrong-architecture":
        assert f"version {old} goes on running" in error["message"]
    return error


def test_failing_self_test(run: Run, pack: Pack, board: Sshd, deployed: tuple[Path, str], x86: Path) -> None:
    def moved(golden: dict[str, Any]) -> None:
        golden["instances"][0]["box"][0] += 1.5

    edit(x86, moved, "golden/expected.json")
    error = fails(run, pack("wrong"), board.name, deployed)
    assert error["code"] == "self-test-failed"
    assert "a box differs by 1.5" in error["message"]


SILENT = """#!/bin/sh
echo '{"type": "hello", "runner": "fake", "version": "0"}'
echo '{"type": "load", "ns": 1}'
echo '{"type": "done"}'
"""


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("#!/no/such/shell\n", "runner-died", "can't be started there"),
        ("#!/bin/sh\nkill -SEGV $$\n", "runner-died", "killed by SIGSEGV"),
        ("#!/bin/sh\necho nonsense\n", "runner-protocol", "isn't the protocol's"),
        (SILENT, "self-test-failed", "said nothing of a self-test"),
    ],
)
def test_runner_that_does_not_run(
    run: Run, pack: Pack, board: Sshd, deployed: tuple[Path, str], tmp_path: Path, text: str, code: str, words: str
) -> None:
    script = tmp_path / "other"
    script.write_text(text)
    error = fails(run, pack("other", runner=script), board.name, deployed)
    assert (error["code"], words in error["message"]) == (code, True), error


def test_wrong_architecture(run: Run, board: Sshd, deployed: tuple[Path, str], tmp_path: Path, x86: Path) -> None:
    edit(x86, lambda manifest: manifest.update(target="arm"))
    runner = program(tmp_path / "edge-seg-run", engines=LITE)
    out = tmp_path / "arm.tar.gz"
    assert run("board", "pack", x86, "--arch", "armv8", "--runner", runner, "--out", out)[0] == 0
    error = fails(run, out, board.name, deployed)
    assert error["code"] == "wrong-architecture"
    assert f"the board is {os.uname().machine}, but the archive's runner is for aarch64" in error["message"]
    assert "nothing was changed" in error["message"]


@pytest.mark.parametrize("kilobytes", [10, 1500])
def test_link_that_breaks_in_the_middle(
    run: Run, pack: Pack, board: Sshd, deployed: tuple[Path, str], kilobytes: int
) -> None:
    archive = pack("large", ballast=2_000_000)
    with CuttingProxy(board.port, kilobytes * 1000) as proxy:
        board.trust(proxy.port)
        error = fails(run, archive, f"ssh://127.0.0.1:{proxy.port}", deployed)
    assert error["code"] in ("link-lost", "unreachable")
    assert board_command(run, "clean", board.name, "--dir", deployed[0])[0] == 0, "what the lost link left is removed"


def test_a_switch_that_fails(run: Run, pack: Pack, board: Sshd, deployed: tuple[Path, str]) -> None:
    folder, old = deployed
    (folder / "run.new" / "in the way").mkdir(parents=True)
    code, said, _ = deploy(run, pack("new"), board.name, "--dir", folder)
    assert code == 1
    assert f"version {old} goes on running there; the new one lies beside it" in said["error"]["message"]
    assert works(folder)
    shutil.rmtree(folder / "run.new")
    assert board_command(run, "clean", board.name, "--dir", folder)[0] == 0


def test_the_oldest_versions_go() -> None:
    state = State("aarch64", "c", "a", ("d", "c", "b", "a"))  # newest first
    assert [_surplus(state, keep) for keep in (1, 2, 3, 4)] == [("d", "b"), ("d", "b"), ("b",), ()]


@pytest.mark.parametrize("cut_off", [False, True])
def test_a_version_that_goes_is_no_version_any_more(cut_off: bool, tmp_path: Path) -> None:
    """A link that is cut off in the midst must leave no half version, which a deployment would take for whole."""
    versions = tmp_path / "board/versions"
    for name in ("a", "b"):
        (versions / name).mkdir(parents=True)
        (versions / name / "run").touch()
    (versions / "a.partial").mkdir()
    words = ["sh", "-c", REMOVE, "sh", str(tmp_path / "board"), "a"]
    if cut_off:
        stub = tmp_path / "bin/rm"
        stub.parent.mkdir()
        stub.write_text('#!/bin/sh\nif [ -e "$3/run" ]; then exit 1; fi\nexec /bin/rm "$@"\n')
        stub.chmod(0o755)
    done = subprocess.run(words, env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    assert done.returncode == cut_off
    assert {path.name for path in versions.iterdir()} == ({"a.partial", "b"} if cut_off else {"b"})


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
def test_full_disk(run: Run, pack: Pack, board: Sshd) -> None:
    folder = board.home / "small"
    folder.mkdir()
    with small_disk(folder, "1m"):
        code, said, _ = deploy(run, pack("old"), board.name, "--dir", folder)
        assert code == 0, said
        error = fails(run, pack("large", ballast=3_000_000), board.name, (folder, said["current"]))
        assert error["code"] == "target-full"
        assert "disk is full" in error["message"]
        assert works(folder)
        assert versions(folder) == {said["current"]}, "the room is free again"


def test_the_first_one_that_fails_leaves_nothing(run: Run, pack: Pack, board: Sshd, tmp_path: Path) -> None:
    archive = pack("dead", runner=make_runner(tmp_path / "dead", "--engine", "none"))
    code, said, _ = deploy(run, archive, board.name)
    assert (code, said["error"]["code"]) == (1, "engine-unknown")
    assert "nothing ran there before" in said["error"]["message"]
    assert [entry.name for entry in (board.home / "edge-seg").rglob("*")] == ["versions"]


def test_what_is_no_archive_for_a_board(run: Run, board: Sshd, x86: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.tar.gz"
    assert run("bundle", "pack", x86, "--out", bundle)[0] == 0
    text = tmp_path / "text.tar.gz"
    text.write_text("text")
    for file, words in ((bundle, "holds no run"), (text, "not an archive"), (tmp_path / "none", "no such file")):
        code, said, _ = deploy(run, file, board.name)
        assert code in (1, 2)
        assert words in said["error"]["message"]


@pytest.mark.parametrize(
    "words",
    [["status", "local"], ["clean", "local"], ["rollback"], ["status", "ssh://x", "ssh://x"], ["status"]],
)
def test_command_lines_that_can_not_be_meant(run: Run, words: list[str]) -> None:
    code, said, _ = run("board", *words)
    assert (code, bool(said["error"]["remedy"])) == (2, True)


@pytest.mark.slow
def test_several_boards(run: Run, pack: Pack, board: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folders of one machine stand for two boards; a third one's failure leaves the fourth alone."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("kitchen", "hall", "attic"):
        assert run("board", "add", name, board.name, "--dir", board.home / name)[0] == 0
    assert run("board", "add", "gone", "ssh://127.0.0.1:1")[0] == 0
    archive = pack("new")
    code, said, _ = run("board", "deploy", archive, "kitchen", "gone", "attic")
    assert code == 1
    first, second, third = said["boards"]
    assert (first["board"], first["error"], works(board.home / "kitchen")) == ("kitchen", None, True)
    assert (second["error"]["code"], third["error"], third["happened"]) == ("unreachable", None, "attic: not tried")
    assert not (board.home / "attic").exists()
    code, said, _ = run("board", "deploy", archive, "hall", "attic", "--at-once", "2")
    assert (code, [result["error"] for result in said["boards"]]) == (0, [None, None])
    assert works(board.home / "hall")
    assert works(board.home / "attic")
    code, said, _ = run("board", "status")
    assert code == 1, "one of them doesn't answer"
    known = {result["board"]: result.get("running") for result in said["boards"]}
    assert known.pop("gone") is None
    for what in known.values():
        assert (what["bundle"], what["recipe"], what["self_test"]["passed"]) == ("shapes", "x86-fp32", True)
        assert what["tested"].startswith("20")


def test_what_still_runs_the_version_before_is_restarted(tmp_path: Path) -> None:
    """Its unit, as the kernel's list of processes names it; a process without one is told."""
    folder = tmp_path / "edge-seg"
    folder.mkdir()
    old = folder / "versions" / "old" / "edge-seg-run"
    for number, command, group in (
        (11, [str(old), "--watch"], "0::/system.slice/shapes.service"),
        (12, ["/bin/sh", str(old)], "0::/system.slice/shapes.service"),
        (13, [str(old)], "0::/user.slice/user-1000.slice/session-3.scope"),
        (14, ["vi", "old"], "0::/system.slice/other.service"),
        (15, [str(old)], "0::/system.slice/broken.service"),
    ):
        process = tmp_path / "proc" / str(number)
        process.mkdir(parents=True)
        (process / "cmdline").write_text("\0".join(command) + "\0")
        (process / "cgroup").write_text(f"{group}\n")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("systemctl", "sudo"):
        script = f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/asked\ncase $* in *broken*) exit 1 ;; esac\n'
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", RESTART, "sh", folder, "old", tmp_path / "proc"],
        env={"PATH": f"{tools}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(done.stdout.splitlines()) == ["failed broken.service", "process 13", "restarted shapes.service"]
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked.count("systemctl restart shapes.service") == 1
    assert "sudo -n systemctl restart broken.service" in asked
