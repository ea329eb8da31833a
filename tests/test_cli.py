"""The command line as users meet it: quick help, one clear message for whatever goes wrong, exit codes."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from edge_seg import __version__, cli
from edge_seg.errors import BundleError, UsageError

ROOT = Path(__file__).parents[1]
Run = Callable[..., subprocess.CompletedProcess[str]]


def start(words: list[str], folder: Path, **options: Any) -> subprocess.Popen[str]:
    """Python with ``words``, in ``folder``, whose modules come before all others."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, *words], cwd=folder, env=environment, text=True, **pipes)


def raising(problem: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise problem

    return act


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Makes ``edge-seg act`` call a function."""
    monkeypatch.setitem(cli.COMMANDS, "act", cli.Entry("tests_act:act", "Does what it is told."))
    module = type(sys)("tests_act")
    monkeypatch.setitem(sys.modules, "tests_act", module)

    def set_function(function: Callable[[], object]) -> None:
        @click.command()
        @click.option("--json", is_flag=True)
        def act(json: bool) -> object:
            return function()

        module.__dict__["act"] = act

    return set_function


def test_the_version(edge_seg: Run) -> None:
    assert edge_seg("--version").stdout == f"edge-seg, version {__version__}\n"


def test_help_is_quick_and_lists_every_command(edge_seg: Run) -> None:
    seconds = []  # of processor time, which other programs on the machine change little
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = edge_seg("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.returncode == 0
    for name in cli.COMMANDS:
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE)
    assert "Examples:" in done.stdout
    assert min(seconds) < 0.3


HEAVY = ["paddle", "paddlelite", "cv2", "numpy", "pycocotools", "PIL"]
LOOK = """
import sys
from edge_seg import cli
code = cli.main(sys.argv[1:])
heavy = [name for name in {heavy} if name in sys.modules]
sys.exit(f"imported {{heavy}}" if heavy else code)
"""


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, sub in command.commands.items():
            yield from walk(sub, (*path, name))


def load(name: str) -> click.Command:
    command = cli.cli.get_command(click.Context(cli.cli), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", [None, *cli.COMMANDS])
def test_help_imports_nothing_heavy(name: str | None) -> None:
    words = [] if name is None else [name]
    paths = [words] if name is None else [list(path) for path, _ in walk(load(name), (name,))]
    for path in paths:
        code = LOOK.format(heavy=HEAVY)
        done = subprocess.run([sys.executable, "-c", code, *path, "--help"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, f"{path}: {done.stderr}"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_explained(name: str) -> None:
    for path, command in walk(load(name), (name,)):
        text = command.get_help(click.Context(command, info_name=" ".join(("edge-seg", *path))))
        assert command.help, path
        if not isinstance(command, click.Group):
            assert f"edge-seg {' '.join(path)}" in command.help, f"{path}: no example of its use"
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help, f"{path} {parameter.opts}: no help"
        assert max(map(len, text.splitlines())) <= 80, path


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "bundle", "photo.jpg", "--out", ""],
        ["predict", "bundle", ""],
        ["data", "check", ""],
        ["bench", "run", ""],
        ["bundle", "unpack", "packed.tar.gz", "--out", ""],
        ["convert", "mask_rcnn_tiny_fpn", "--out", ""],
    ],
)
def test_a_path_of_a_variable_that_is_not_set(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It would be the current folder."""
    assert cli.main(words) == 2
    assert "empty, expected a file or a folder; is a variable of the shell not set?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["nothing"], ["--nothing"], ["zoo", "--nothing"], ["predict"]])
def test_wrong_usage_exits_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words, "--json"]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("Error: ")
    assert "--help" in err
    assert json.loads(out)["error"]["code"] == "usage"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["convrt"], "'convert'"),
        (["data", "chek"], "'check'"),
        (["bundle", "verfy"], "check, diff"),
        (["tun"], "'tune'"),
    ],
)
def test_a_mistyped_command_names_what_is_like_it(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert meant in err
    assert err.count("Did you mean") <= 1


@pytest.mark.parametrize(
    ("shell", "mark"), [("bash", "complete -o"), ("zsh", "#compdef edge-seg"), ("fish", "complete ")]
)
def test_shells_get_their_completion(edge_seg: Run, shell: str, mark: str) -> None:
    done = edge_seg(env={"_EDGE_SEG_COMPLETE": f"{shell}_source"})
    assert done.returncode == 0, done.stderr
    assert mark in done.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [("edge-seg con", ["convert"]), ("edge-seg data ch", ["check"]), ("edge-seg convert --reci", ["--recipe"])],
)
def test_words_are_completed(edge_seg: Run, line: str, expected: list[str]) -> None:
    env = {"_EDGE_SEG_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    done = edge_seg(env=env)
    assert [word.partition(",")[2] for word in done.stdout.split()] == expected


@pytest.mark.parametrize("name", [name for name in cli.COMMANDS if isinstance(load(name), click.Group)])
def test_lists_of_commands_are_whole_sentences(name: str) -> None:
    command = load(name)
    assert "..." not in command.get_help(click.Context(command)).partition("Commands:")[2]


def test_no_arguments_show_the_help(edge_seg: Run) -> None:
    done = edge_seg()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: edge-seg")


PROBLEMS = [
    (BundleError("b: altered", remedy="copy it again"), 1, "bundle", "b: altered\n  copy it again"),
    (UsageError("size"), 2, "usage", "size"),
    (OSError(errno.ENOSPC, "No space left on device", "a/b"), 1, "enospc", "a/b: disk full"),
    (OSError(errno.ENOSPC, "No space left on device"), 1, "enospc", "disk full"),
    (PermissionError(errno.EACCES, "Permission denied", "a"), 1, "eacces", "a: permission denied"),
    (FileNotFoundError(errno.ENOENT, "No such file", b"a\xff"), 1, "enoent", "no such file or folder"),
    (IsADirectoryError(errno.EISDIR, "Is a directory", "a"), 1, "eisdir", "a folder stands where"),
    (OSError(errno.ELOOP, "Too many levels", "a"), 1, "eloop", "a: Too many levels"),
    (OSError("28 requested and 0 written"), 1, "os", "28 requested and 0 written"),
    (ModuleNotFoundError("No module named 'paddle'", name="paddle.nn"), 1, "missing-dependency", "[train]"),
    (ModuleNotFoundError("No module named 'cv2'", name="cv2"), 1, "missing-dependency", " install "),
    (MemoryError(), 1, "memory", "out of memory"),
    (KeyboardInterrupt(), 130, "interrupted", "stopped"),
    (ZeroDivisionError("division"), 1, "bug", "unexpected ZeroDivisionError: division"),
]


@pytest.mark.parametrize(("problem", "code", "name", "text"), PROBLEMS, ids=lambda value: type(value).__name__)
def test_whatever_goes_wrong_is_one_message(
    act: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
    problem: BaseException,
    code: int,
    name: str,
    text: str,
) -> None:
    act(raising(problem))
    assert cli.main(["act"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err
    assert "Traceback" not in err
    assert cli.main(["act", "--json"]) == code
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["code"] == name
    assert text in err


def test_a_traceback_on_request(
    act: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    act(raising(BundleError("altered")))
    monkeypatch.setenv("EDGE_SEG_TRACEBACK", "1")
    assert cli.main(["act"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_commands_exit_code_counts(act: Callable[[Callable[[], object]], None]) -> None:
    act(lambda: 1)
    assert cli.main(["act"]) == 1
    act(lambda: None)
    assert cli.main(["act"]) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_that_cannot_be_written_is_a_failure() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "edge_seg.cli", "--help"]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: disk full")
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    ("words", "told"),
    [(["zoo", "--json"], "disk full"), (["predict", "nosuch", "x", "--out", "y", "--json"], "nosuch: no such bundle")],
)
def test_json_that_cannot_be_written_is_a_failure(words: list[str], told: str, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = start(["-m", "edge_seg", *words], tmp_path, stdout=full)
        err = done.communicate(timeout=60)[1]
    assert done.returncode == 1
    assert err.startswith(f"Error: {told}")
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize("numbers", [[1], [2], [0, 1, 2]])
def test_closed_streams_are_as_dev_null(numbers: list[int], tmp_path: Path) -> None:
    def close() -> None:
        for number in numbers:
            os.close(number)

    for words, code in ((["zoo"], 0), (["predict", "nosuch", "x", "--out", "y", "--json"], 1)):
        done = start(["-m", "edge_seg", *words], tmp_path, stdin=subprocess.DEVNULL, preexec_fn=close)
        out, err = done.communicate(timeout=60)
        assert done.returncode == code
        assert (out == "") == (1 in numbers)
        assert len(err.splitlines()) == (0 if 2 in numbers or code == 0 else 2)


def test_a_reader_that_goes_away_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "edge_seg.cli", "--help"]
    done = subprocess.run(command, cwd=ROOT, stdout=write_end, stderr=subprocess.PIPE, text=True)
    os.close(write_end)
    assert done.stderr == ""


SLOW = """
import sys, time, click
from edge_seg import cli
@click.command()
def act():
    try:
        print("here", flush=True)
        time.sleep(60)
    finally:
        time.sleep(0.5)
        print("tidied", flush=True)
sys.modules["slow_act"] = type(sys)("slow_act")
sys.modules["slow_act"].act = act
cli.COMMANDS["act"] = cli.Entry("slow_act:act", "")
sys.argv = ["edge-seg", "act"]
sys.exit(cli.main())
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_signals_let_the_command_tidy_up(number: signal.Signals, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.send_signal(number)
    time.sleep(0.2)
    process.send_signal(number)  # a terminal and a supervisor may both send it
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert out == "tidied\n"
    assert len(err.split()) == 1  # one word after the ^C of the terminal


def test_nohup_stays_in_force() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW.replace("60", "1")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=60)[0] == "tidied\n"
    assert process.returncode == 0


CALLED_AS = {
    "module": ["-m", "edge_seg"],
    "script": ["-c", "import sys; from {0} import {1}; sys.exit({1}())"],
}


@pytest.mark.parametrize("words", [["zoo"], ["zoo", "--json"]], ids=" ".join)
@pytest.mark.parametrize("how", CALLED_AS)
def test_stopped_during_the_imports(how: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    entry = re.search(r'"edge-seg = ([\w.]+):(\w+)"', (ROOT / "setup.py").read_text())
    assert entry
    called = [word.format(*entry.groups()) for word in CALLED_AS[how]]
    process = start([*called, *words], tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "stopped\n")
    assert (json.loads(out)["error"]["code"] == "interrupted") if "--json" in words else out == ""


def test_an_import_that_makes_an_error_of_ctrl_c(tmp_path: Path) -> None:
    code = SLOW.replace("finally:", "except KeyboardInterrupt: raise ImportError('failed') from None\n    finally:")
    process = start(["-c", code], tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("tidied\n", "stopped\n")
    assert process.returncode == 130


def test_the_segmenter_is_found_when_asked_for() -> None:
    code = "import sys, edge_seg; assert 'numpy' not in sys.modules; from edge_seg import Segmenter; print(Segmenter)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "edge_seg.runtime.segmenter.Segmenter" in done.stdout, done.stderr


def test_old_names_answer_with_the_new_ones(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fit", "run"]) == 2
    assert "tune" in capfd.readouterr().err
    assert cli.main(["doctor", "model.pdmodel", "--target", "arm"]) == 2
    assert "--target is now called --arch" in capfd.readouterr().err
