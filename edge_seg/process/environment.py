"""The conversion's own environment: CPython 3.10 with the one set of libraries that export and ``opt`` work with.

``paddlelite`` has no packages for a newer Python, and only paddlepaddle 2.6.2 writes what ``opt`` reads. A training may
run on any Python; so a command that converts, called elsewhere, makes an environment once in the user's cache folder
and goes on there, with the same arguments, messages and exit code.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_seg.cache import cache_folder, home_folder
from edge_seg.errors import EdgeSegError
from edge_seg.files import atomic_dir, write_text

PYTHON = (3, 10)
PADDLE = "2.6.2"
REQUIREMENTS = Path(__file__).with_name("convert-requirements.txt")
VARIABLE = "EDGE_SEG_PYTHON310"
"""Names the CPython 3.10 to take, where none or the wrong one is found."""

SYSTEM = ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin")
"""Where a CPython 3.10 may be that isn't on the path."""

WORDS = "edge_seg.words"
"""Where click's context keeps the command line, see :func:`edge_seg.cli.main`."""

_PADDLE_LITE_FOR = ("x86_64", "AMD64")
_INSIDE = "EDGE_SEG_CONVERT_ENVIRONMENT"
_PACKAGES = ("edge_seg", "convert", "bench")
_READY = "edge-seg-ready"
_OLD_SECONDS = 7 * 24 * 3600.0
_PROBE = (
    "import sys, ensurepip, venv, ssl, zlib; "
    "sys.exit(not (sys.implementation.name == 'cpython' and sys.version_info[:2] == (3, 10) and sys.maxsize > 2**32))"
)

Command = TypeVar("Command", bound=Callable[..., Any])


def is_here() -> bool:
    """Whether this interpreter can convert: its own Python and paddlepaddle are the pinned ones."""
    if os.environ.get(_INSIDE):
        return True
    # The GPU build of the same version exports the same.
    paddle = _version("paddlepaddle") or _version("paddlepaddle-gpu")
    return sys.version_info[:2] == PYTHON and paddle == PADDLE


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def in_conversion_environment(command: Command) -> Command:
    """A click command's function that runs in the conversion's environment, which is made if need be."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        # Elsewhere than on x86-64 there is no Paddle Lite to install: what the command needs then, it says itself.
        if is_here() or platform.machine() not in _PADDLE_LITE_FOR:
            return command(*arguments, **options)
        python = ready_python(lambda line: click.echo(line, err=True))
        context = click.get_current_context()
        words = [str(python), "-m", "edge_seg.cli", *context.meta[WORDS]]
        environment = {**os.environ, "PYTHONPATH": str(_code(python)), _INSIDE: "1"}
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        if context.obj is None:  # called by a program, whose process goes on
            return subprocess.run(words, env=environment, check=False).returncode
        os.execve(python, words, environment)

    return run  # type: ignore[return-value]


def ready_python(say: Callable[[str], None]) -> Path:
    """The environment's interpreter; makes the environment first when it isn't there, telling ``say`` each step.

    Raises :class:`EdgeSegError` when no CPython 3.10 is found or the packages can't be installed.
    """
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    folder = cache_folder() / "convert" / hashlib.sha256(wanted.encode()).hexdigest()[:12]
    python = folder / "bin" / "python"
    if (folder / _READY).is_file() and _runs(python):
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock"), say):
        if (folder / _READY).is_file() and _runs(python):  # another process has made it meanwhile
            return python
        base = find_python(say)
        say(f"The conversion needs CPython 3.10 with paddlepaddle {PADDLE} and Paddle Lite. This is {_this()}.")
        say(f"Making an environment for it, once, in {folder} (from {base}; a minute or more, 1.2 GB)")
        shutil.rmtree(folder, ignore_errors=True)
        _step([str(base), "-m", "venv", str(folder)], folder)
        quiet = [] if sys.stderr.isatty() else ["--quiet"]
        pip = [str(python), "-m", "pip", "install", *quiet, "--disable-pip-version-check", "-r", str(REQUIREMENTS)]
        _step(pip, folder)
        write_text(folder / _READY, wanted)
        say("The environment is ready")
    return python


def find_python(say: Callable[[str], None]) -> Path:
    """A CPython 3.10 that makes environments: named, on the path, pyenv's, the system's, uv's, or installed by uv."""
    here = python_here()
    if here is not None:
        return here
    uv = shutil.which("uv")
    if uv:
        say("No CPython 3.10 here; asking uv to install one")
        subprocess.run([uv, "python", "install", "3.10"], stdout=sys.stderr, check=False)
        found = _uv_python(uv)
        if found and _runs(found):
            return found
    raise EdgeSegError(
        f"the conversion needs a CPython 3.10 (Paddle Lite has no packages for others), and this is {_this()}; "
        "none was found",
        remedy="any of these brings one: `uv python install 3.10`, `pyenv install 3.10`, `apt install "
        f"python3.10-venv`; {VARIABLE}=/path/to/python3.10 names one in an unusual place",
        code="no-python310",
    )


def python_here() -> Path | None:
    """A CPython 3.10 that makes environments, if this machine has one; installs nothing."""
    return next(filter(_runs, _candidates()), None)


def _candidates() -> Iterator[Path]:
    named = os.environ.get(VARIABLE)
    if named:
        yield Path(named)
    for name in ("python3.10", "python3", "python"):
        found = shutil.which(name)
        if found:
            yield Path(found)
    roots = [Path(named)] if (named := os.environ.get("PYENV_ROOT")) else []
    with contextlib.suppress(EdgeSegError):  # a user without a home has no pyenv there
        roots.append(home_folder() / ".pyenv")
    for root in roots:
        yield from sorted(root.glob("versions/3.10*/bin/python3.10"), reverse=True)
    for folder in SYSTEM:
        yield Path(folder) / "python3.10"
    uv = shutil.which("uv")
    found_by_uv = _uv_python(uv) if uv else None
    if found_by_uv:
        yield found_by_uv


def _uv_python(uv: str) -> Path | None:
    done = subprocess.run([uv, "python", "find", "--no-project", "3.10"], capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 and done.stdout.strip() else None


def _runs(python: Path) -> bool:
    """Tried rather than looked at: pyenv's shims exist and fail, Debian's python3.10 may come without ensurepip."""
    try:
        return subprocess.run([str(python), "-c", _PROBE], capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _step(words: list[str], folder: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(words, stdout=sys.stderr, env=clean, check=False)
    if done.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        raise EdgeSegError(
            f"the conversion's environment can't be made: `{' '.join(words[:4])} …` ended with exit code "
            f"{done.returncode}; its own words are above",
            remedy="check the connection to the package index and the space on the disk, then give the command again",
            code="environment-failed",
        )


@contextlib.contextmanager
def _locked(file: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Two conversions that begin at once make one environment."""
    with file.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another conversion that makes the environment")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _code(python: Path) -> Path:
    """The folder from which the environment imports edge-seg: this checkout, or a copy of what is installed.

    Not the folder of installed packages itself: it holds the libraries of another Python.
    """
    source = Path(__file__).resolve().parents[2]
    if source.name not in ("site-packages", "dist-packages"):
        return source
    digest = hashlib.sha256()
    files = sorted(file for name in _PACKAGES for file in (source / name).rglob("*") if _is_code(file))
    for file in files:
        digest.update(f"{file.relative_to(source)}\0".encode())
        digest.update(file.read_bytes())
    folder = python.parents[1] / f"code-{digest.hexdigest()[:12]}"
    if not folder.is_dir():
        with atomic_dir(folder) as partial:
            for file in files:
                target = partial / file.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        for other in folder.parent.glob("code-*"):
            if other != folder and time.time() - other.stat().st_mtime > _OLD_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
    return folder


def _is_code(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts


def _this() -> str:
    paddle = _version("paddlepaddle") or _version("paddlepaddle-gpu")
    python = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    return f"{python} with paddlepaddle {paddle}" if paddle else f"{python} without paddlepaddle"
