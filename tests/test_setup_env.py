"""tools/setup_env.sh: finds a Python 3.10 that runs, installs once, and mends what was interrupted.

A shell script plays Python 3.10, so that nothing is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FAKE_PYTHON = """#!/bin/sh
case "$1 $2" in
    "--version ") echo "Python 3.10.0" ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip") echo install >>installs; if [ -e pip-fails ]; then exit 1; fi ;;
    "-c "*) exit 0 ;;
esac
"""
SHIM = "#!/bin/sh\necho 'pyenv: python3.10: command not found' >&2\nexit 127\n"


class Checkout:
    """A copy of the files that the script reads, with its own HOME and PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.home = folder / "home"
        self.path = folder / "path"
        for part in (self.folder / "tools", self.home, self.path):
            part.mkdir(parents=True)
        for name in ("setup.py", "constraints.txt", "tools/setup_env.sh"):
            shutil.copy(ROOT / name, self.folder / name)
        for tool in ("sh", "cat", "cksum", "cp", "dirname", "mkdir", "rm", "sed", "flock", "env"):
            if found := shutil.which(tool):
                (self.path / tool).symlink_to(found)

    def executable(self, path: Path, text: str = FAKE_PYTHON) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def set_up(self, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.path), "HOME": str(self.home), **variables}
        command = ["sh", "tools/setup_env.sh"]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60)

    @property
    def installs(self) -> int:
        log = self.folder / "installs"
        return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_says_what_to_do_without_a_python(checkout: Checkout) -> None:
    done = checkout.set_up()
    assert done.returncode == 1
    assert "no CPython 3.10 was found" in done.stderr
    assert "uv python install 3.10" in done.stderr
    assert not (checkout.folder / ".venv").exists()


def test_looks_past_a_shim_that_fails_to_pyenvs_versions(checkout: Checkout) -> None:
    checkout.executable(checkout.path / "python3.10", SHIM)
    real = checkout.executable(checkout.home / ".pyenv/versions/3.10.13/bin/python3.10")
    done = checkout.set_up()
    assert done.returncode == 0, done.stderr
    assert str(real) in done.stderr


def test_pyenv_root_is_heeded(checkout: Checkout, tmp_path: Path) -> None:
    checkout.executable(tmp_path / "elsewhere/versions/3.10.1/bin/python3.10")
    assert checkout.set_up(PYENV_ROOT=str(tmp_path / "elsewhere")).returncode == 0


def test_the_named_python_comes_first(checkout: Checkout, tmp_path: Path) -> None:
    checkout.executable(checkout.path / "python3.10")
    named = checkout.executable(tmp_path / "named")
    assert str(named) in checkout.set_up(PYTHON=str(named)).stderr


def test_an_unusable_named_python_is_reported_and_passed_over(checkout: Checkout) -> None:
    checkout.executable(checkout.path / "python3.10")
    done = checkout.set_up(PYTHON="/no/such/python")
    assert done.returncode == 0
    assert "PYTHON=/no/such/python is not" in done.stderr


def test_uv_installs_one(checkout: Checkout, tmp_path: Path) -> None:
    python = tmp_path / "uv-python"
    checkout.executable(tmp_path / "packed")
    install, find = f'cp "{tmp_path}/packed" "{python}"', f'[ -e "{python}" ] && echo "{python}"'
    checkout.executable(checkout.path / "uv", f'#!/bin/sh\ncase "$2" in install) {install} ;; find) {find} ;; esac\n')
    done = checkout.set_up()
    assert done.returncode == 0, done.stderr
    assert str(python) in done.stderr


def test_installs_once(checkout: Checkout) -> None:
    checkout.executable(checkout.path / "python3.10")
    checkout.set_up()
    again = checkout.set_up()
    assert (again.returncode, again.stderr, checkout.installs) == (0, "", 1)


def test_changed_requirements_install_again(checkout: Checkout) -> None:
    checkout.executable(checkout.path / "python3.10")
    checkout.set_up()
    (checkout.folder / "constraints.txt").write_text("numpy==1.26.3\n")
    done = checkout.set_up()
    assert "Making" not in done.stderr
    assert checkout.installs == 2


def test_a_half_made_environment_is_made_again(checkout: Checkout) -> None:
    checkout.executable(checkout.path / "python3.10")
    (checkout.folder / "pip-fails").touch()
    failed = checkout.set_up()
    assert failed.returncode == 1
    assert "the installation failed" in failed.stderr
    left_over = checkout.folder / ".venv/left-over"
    left_over.touch()
    (checkout.folder / "pip-fails").unlink()
    assert checkout.set_up().returncode == 0
    assert not left_over.exists()


def test_a_moved_checkout_gets_a_new_environment(checkout: Checkout) -> None:
    checkout.executable(checkout.path / "python3.10")
    checkout.set_up()
    checkout.folder = checkout.folder.rename(checkout.folder.with_name("moved"))
    assert "Making" in checkout.set_up().stderr
    assert os.access(checkout.folder / ".venv/bin/python", os.X_OK)
