"""The conversion's own environment: found or made, and entered with the command line as it was given."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edge_seg.errors import EdgeSegError
from edge_seg.process import environment

ROOT = Path(__file__).parents[2]


def script(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a path without any Python."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("EDGE_SEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    monkeypatch.setattr(environment, "SYSTEM", ())
    return tmp_path


FAKE = """#!/bin/sh
# A CPython 3.10 as far as this test is concerned: says yes to the probe, makes an environment of itself.
echo "$*" >> {log}
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python";;
  "-m edge_seg.cli") shift 2; echo "PYTHONPATH=$PYTHONPATH"; for word; do echo "word $word"; done; exit 7;;
esac
"""


def test_pyenvs_python_is_found_when_the_path_has_none(nowhere: Path) -> None:
    log = nowhere / "log"
    old = script(nowhere / "home/.pyenv/versions/3.10.2/bin/python3.10", "#!/bin/sh\nexit 1\n")
    new = script(nowhere / "home/.pyenv/versions/3.10.1/bin/python3.10", FAKE.format(log=log))
    assert environment.find_python(print) == new
    assert old.is_file()


def test_without_a_python_the_remedy_lists_the_ways(nowhere: Path) -> None:
    with pytest.raises(EdgeSegError, match="none was found") as raised:
        environment.find_python(print)
    assert "pyenv install 3.10" in raised.value.remedy


def test_an_environment_is_made_once(nowhere: Path) -> None:
    log = nowhere / "log"
    script(nowhere / "home/.pyenv/versions/3.10.1/bin/python3.10", FAKE.format(log=log))
    os.environ["PATH"] = f"{os.environ['PATH']}:/usr/bin:/bin"
    said: list[str] = []
    python = environment.ready_python(said.append)
    assert python.is_file()
    assert any("Making an environment" in line for line in said)
    first = log.read_text()
    assert "pip install" in first
    said.clear()
    assert environment.ready_python(said.append) == python
    assert said == []
    assert "-m venv" not in log.read_text().removeprefix(first)


def test_a_failed_installation_leaves_nothing_and_is_tried_again(nowhere: Path) -> None:
    os.environ["PATH"] = f"{os.environ['PATH']}:/usr/bin:/bin"
    base = nowhere / "home/.pyenv/versions/3.10.1/bin/python3.10"
    script(base, FAKE.format(log=nowhere / "log").replace('"-m edge_seg.cli")', '"-m pip") exit 3;;\n  "-m edge")'))
    with pytest.raises(EdgeSegError, match="ended with exit code 3"):
        environment.ready_python(print)
    assert not list((nowhere / "cache/convert").glob("*/bin"))
    script(base, FAKE.format(log=nowhere / "log"))
    assert environment.ready_python(print).is_file()


@pytest.mark.parametrize(
    "words",
    [
        ["convert", "a run", "--recipe", "x86-fp32", "--out", "b"],
        ["tune", "a run", "--data", "d", "--target-ms", "20"],
        ["verify", "b", "--run", "a run"],
    ],
    ids=lambda words: words[0],
)
def test_a_command_goes_on_there_as_it_was_given(nowhere: Path, words: list[str]) -> None:
    log = nowhere / "log"
    script(nowhere / "home/.pyenv/versions/3.10.1/bin/python3.10", FAKE.format(log=log))
    code = (
        "import sys\n"
        "from edge_seg.process import environment\n"
        "environment.SYSTEM = ()\n"
        "environment.is_here = lambda: False\n"
        "environment.platform.machine = lambda: 'x86_64'\n"
        "from edge_seg.cli import main\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "PATH": f"{nowhere}/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert re.findall("word (.*)", done.stdout) == words
    assert f"PYTHONPATH={ROOT}" in done.stdout
    help_ = subprocess.run(
        [sys.executable, "-c", code, words[0], "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"Usage: edge-seg {words[0]}" in help_.stdout


def test_the_versions_are_those_that_the_tests_run_with() -> None:
    def pins(file: Path) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+)==(\S+)", file.read_text(), re.MULTILINE))

    ours, all_ = pins(environment.REQUIREMENTS), pins(ROOT / "constraints.txt")
    all_.setdefault("opencv-python-headless", all_.get("opencv-python", ""))
    assert {name: version for name, version in ours.items() if all_.get(name) != version} == {}
    assert ours["paddlepaddle"] == environment.PADDLE


@pytest.mark.parametrize(
    ("python", "paddle", "here"),
    [((3, 10), "2.6.2", True), ((3, 12), "2.6.2", False), ((3, 10), "3.3.1", False), ((3, 12), "", False)],
)
def test_where_a_conversion_can_run(
    python: tuple[int, int], paddle: str, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGE_SEG_CONVERT_ENVIRONMENT", raising=False)
    monkeypatch.setattr(environment, "_version", lambda package: paddle if package == "paddlepaddle" else "")
    monkeypatch.setattr(environment.sys, "version_info", (*python, 1, "final", 0))
    assert environment.is_here() == here


def test_an_installed_package_is_copied_for_the_other_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = tmp_path / "lib/site-packages"
    for name in ("edge_seg/process/environment.py", "edge_seg/a.json", "convert/b.py", "numpy/c.py"):
        file = packages / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    monkeypatch.setattr(environment, "__file__", str(packages / "edge_seg/process/environment.py"))
    python = tmp_path / "env/bin/python"
    code = environment._code(python)
    found = sorted(str(file.relative_to(code)) for file in code.rglob("*") if file.is_file())
    assert found == ["convert/b.py", "edge_seg/a.json", "edge_seg/process/environment.py"]
    assert environment._code(python) == code
    (packages / "convert/b.py").write_text("changed")
    assert environment._code(python) != code
