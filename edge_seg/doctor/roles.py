"""What this machine can be used for: to train, to convert, to run bundles, to measure them."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_seg.doctor.report import Finding
from edge_seg.install import pip_install
from edge_seg.process.environment import PADDLE, VARIABLE, python_here

TRAIN, CONVERT, RUN, MEASURE = ROLES = ("train", "convert", "run", "measure")

ENGINES = {"paddle": "paddle-inference", "paddlelite": "paddle-lite", "ONNX Runtime": "onnxruntime", "ncnn": "ncnn"}
"""The engines that Python libraries are, by the library's title in the doctor's table."""
_BASE = ("numpy", "OpenCV", "pycocotools")
_RUNNER = "edge-seg-run"


@dataclass(frozen=True)
class State:
    """A library as found: ``version`` None where it isn't installed, ``problem`` where it can't be loaded."""

    version: str | None
    problem: str = ""

    @property
    def works(self) -> bool:
        return self.version is not None and not self.problem


@dataclass(frozen=True)
class Role:
    """Whether the machine can take one, with the engine or the reason, and the ``remedy`` where it can't."""

    name: str
    possible: bool
    why: str
    remedy: str = ""

    def as_json(self) -> dict[str, str | bool]:
        return {"possible": self.possible, "why": self.why, "remedy": self.remedy}


def judge_roles(
    libraries: Mapping[str, State], x86: bool, find_python: Callable[[], Path | None] = python_here
) -> tuple[Role, ...]:
    """The roles, in the order of work. ``find_python`` looks for a CPython 3.10 for the conversion's environment."""
    base = [title for title in _BASE if not libraries[title].works]
    if base:
        why = f"{' and '.join(base)} {'is' if len(base) == 1 else 'are'} missing or can't be loaded"
        return tuple(Role(name, False, why, pip_install()) for name in ROLES)
    return (_train(libraries), _convert(libraries, x86, find_python), *_run_and_measure(libraries))


def _train(libraries: Mapping[str, State]) -> Role:
    paddle = libraries["paddle"]
    if paddle.works:
        return Role(TRAIN, True, f"with paddle {paddle.version}")
    return Role(TRAIN, False, _lacks("paddle", paddle), pip_install("train"))


def _convert(libraries: Mapping[str, State], x86: bool, find_python: Callable[[], Path | None]) -> Role:
    if not x86:
        why = f"Paddle Lite's opt has packages for x86-64 only, not for {platform.machine()}"
        return Role(CONVERT, False, why, "convert on an x86-64 machine, and copy the bundle here")
    paddle, lite = libraries["paddle"], libraries["paddlelite"]
    if paddle.works and lite.works and (paddle.version or "").startswith(PADDLE):
        return Role(CONVERT, True, f"with paddle {paddle.version} and Paddle Lite {lite.version}")
    right_python = platform.python_version().startswith("3.10.")
    if right_python and paddle.works and (paddle.version or "").startswith(PADDLE):
        return Role(CONVERT, False, _lacks("paddlelite", lite), pip_install("lite"))
    python = find_python()
    if python is not None:
        return Role(CONVERT, True, f"in an environment of its own, made at the first conversion with {python}")
    return Role(
        CONVERT,
        False,
        f"it needs CPython 3.10 with paddle {PADDLE} and Paddle Lite; none was found, and this is "
        f"{platform.python_version()}",
        f"install a CPython 3.10, or name one with {VARIABLE}",
    )


def _run_and_measure(libraries: Mapping[str, State]) -> Iterator[Role]:
    engines = [engine for title, engine in ENGINES.items() if libraries[title].works]
    if shutil.which(_RUNNER):
        engines.append("the C++ runner")
    if not engines:
        for name in (RUN, MEASURE):
            remedy = f"{pip_install('onnx')}, or put the C++ runner ({_RUNNER}) on the PATH"
            yield Role(name, False, "no engine is installed", remedy)
        return
    yield Role(RUN, True, f"with {', '.join(engines)}")
    ways = [name for program, name in (("ssh", "ssh"), ("adb", "adb")) if shutil.which(program)]
    boards = f"boards over {' and '.join(ways)}" if ways else "no boards: neither ssh nor adb is installed"
    yield Role(MEASURE, True, f"this machine, and {boards}" if ways else f"this machine; {boards}")


def _lacks(title: str, state: State) -> str:
    return f"{title} isn't installed" if state.version is None else f"{title} {state.version} can't be loaded"


def role_findings(roles: tuple[Role, ...], wanted: tuple[str, ...]) -> Iterator[Finding]:
    """A finding for each; an error where a ``wanted`` role is impossible, or none at all is possible."""
    none = not any(role.possible for role in roles)
    for role in roles:
        if role.possible:
            yield Finding("ok", role.name, f"yes, {role.why}")
        elif role.name in wanted or none:
            yield Finding("error", role.name, f"no, {role.why}", role.remedy, "role")
        else:
            yield Finding("note", role.name, f"no, {role.why}", role.remedy, "role")
