"""The machine: are the libraries of the tested versions there, can they be loaded, is the hardware enough?"""

from __future__ import annotations

import platform
import shutil
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edge_seg.doctor.processor import examine_processor
from edge_seg.doctor.report import Finding, Report
from edge_seg.doctor.roles import State, judge_roles, role_findings
from edge_seg.install import missing_system_library, pip, pip_install
from edge_seg.process.child import Outcome, run_command
from edge_seg.process.python import code_command
from edge_seg.records.machine import Processor, read_processor
from edge_seg.runtime.memory import read_memory

LIMIT_S = 180.0
_LITTLE_MEMORY = 2 << 30
_LITTLE_DISK = 2 << 30


@dataclass(frozen=True)
class Library:
    """A row of the table below.

    ``names``: the distributions that bring it, the first one is ours to install. ``tested``: the version that the tests
    run with. ``fits``: the versions that are taken for good, as beginnings of their numbers. ``otherwise``: of others.
    ``extra`` of setup.py that brings it; without one it comes with the base.
    """

    title: str
    module: str
    names: tuple[str, ...]
    tested: str
    fits: tuple[str, ...]
    extra: str = ""
    otherwise: str = "not tested"


LIBRARIES = (
    Library("numpy", "numpy", ("numpy",), "1.26.4", ("1.", "2.")),
    Library(
        "OpenCV",
        "cv2",
        ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
        "4.11.0.86",
        ("4.",),
    ),
    Library("pycocotools", "pycocotools.mask", ("pycocotools",), "2.0.11", ("2.",)),
    Library(
        "paddle",
        "edge_seg.paddle_env",
        ("paddlepaddle", "paddlepaddle-gpu"),
        "2.6.2",
        ("2.6.", "3."),
        extra="train",
    ),
    Library(
        "paddlelite",
        "paddlelite.lite",
        ("paddlelite",),
        "2.13rc0",
        ("2.13rc0",),
        extra="lite",
        otherwise="a bundle runs only on the version that it was made with",
    ),
    Library("ONNX Runtime", "onnxruntime", ("onnxruntime", "onnxruntime-gpu"), "1.23.2", ("1.",), "onnx"),
    Library("ncnn", "ncnn", ("ncnn",), "1.0.20261020", ("1.0.",), "ncnn"),
    Library("onnx", "onnx", ("onnx",), "1.23.2", ("1.",), "onnx-export"),
)

# Prints a line for each module that it could import; a library that ends the process leaves the last one open.
_IMPORTS = """
import importlib, sys
for name in sys.argv[1:]:
    print("begin", name, flush=True)
    try:
        importlib.import_module(name)
    except BaseException as problem:
        print("failed", name, " ".join(f"{type(problem).__name__}: {problem}".split()), flush=True)
    else:
        print("good", name, flush=True)
"""


def examine_machine(roles: tuple[str, ...] = ()) -> Report:
    """This machine, as found, and the roles that it can take. Libraries are loaded in a child process.

    That one of ``roles`` is impossible is an error; without any, that all are.
    """
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    processor = read_processor(platform.machine(), cpuinfo)
    states = _states()
    judged = judge_roles(states, processor.x86)
    findings = [
        *role_findings(judged, roles),
        Finding("ok", "Python", platform.python_version()),
        *word_size(platform.machine(), struct.calcsize("P") * 8),
        *(_library(library, states) for library in LIBRARIES),
        *examine_processor(processor),
        *_memory(),
        *_disk(),
    ]
    facts = {
        "libraries": {title: state.version for title, state in states.items()},
        "python": platform.python_version(),
        "processor": {
            "machine": processor.machine,
            "cores": processor.cores,
            "features": list(processor.features),
        },
        "roles": {role.name: role.as_json() for role in judged},
    }
    return Report("machine", _title(processor), tuple(findings), facts)


def word_size(machine: str, bits: int) -> list[Finding]:
    """A 32-bit system on a 64-bit kernel: ``machine`` is the kernel's, ``bits`` are this program's."""
    if bits == 64 or machine not in ("aarch64", "arm64", "x86_64"):
        return []
    remedy = (
        "programs and wheels for 32 bits are what runs here (armv7l, --arch armv7hf); a 64-bit system computes faster"
    )
    return [Finding("warning", "word size", f"a {bits}-bit system on a 64-bit kernel ({machine})", remedy, "word-size")]


def _title(processor: Processor) -> str:
    return f"{platform.node() or 'this machine'} ({platform.system()} on {processor.machine})"


def _states() -> dict[str, State]:
    """Each library by its title: installed, and whether it can be loaded."""
    versions = {library: _installed(library) for library in LIBRARIES}
    modules = [library.module for library, version in versions.items() if version is not None]
    outcome = run_command(code_command(_IMPORTS, *modules), LIMIT_S)
    return {
        library.title: State(version, "" if version is None else import_problem(library.module, outcome))
        for library, version in versions.items()
    }


def _library(library: Library, states: Mapping[str, State]) -> Finding:
    state = states[library.title]
    if state.version is None:
        return Finding("note", library.title, "not installed", pip_install(library.extra))
    if state.problem:
        missing = missing_system_library(state.problem, library.module)
        remedy = f"install it anew: {pip()} install --force-reinstall {library.names[0]}=={library.tested}"
        return Finding(
            "error",
            library.title,
            f"{state.version}, but it can't be loaded: {state.problem}",
            missing.remedy if missing else remedy,
            missing.code if missing else "import-failed",
        )
    return judge_version(library, state.version, states["paddle"].version or "")


def judge_version(library: Library, version: str, paddle: str = "") -> Finding:
    """Whether the installed ``version`` fits, beside the version of ``paddle``, or is untested."""
    pin = f"{pip()} install '{library.names[0]}=={library.tested}'"
    if library.title == "numpy" and version.startswith("2.") and paddle.startswith("2."):
        what = f"{version}, tested: {library.tested}; paddle {paddle} was built against 1.x"
        return Finding("warning", library.title, what, pin, "version")
    if version.startswith(library.fits):
        same = version == library.tested
        return Finding("ok", library.title, version if same else f"{version} (tested: {library.tested})")
    return Finding(
        "warning", library.title, f"{version}, tested: {library.tested}; {library.otherwise}", pin, "version"
    )


def import_problem(module: str, outcome: Outcome) -> str:
    """Why the child couldn't import ``module``; empty if it could."""
    begun = False
    for line in outcome.stdout.splitlines():
        word, _, rest = line.partition(" ")
        name, _, said = rest.partition(" ")
        if name == module:
            if word == "good":
                return ""
            if word == "failed":
                return said
            begun = begun or word == "begin"
    if begun:
        return f"the process {outcome.ending()}"
    return "a library before it in this list ended the process"


def _installed(library: Library) -> str | None:
    for name in library.names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _memory() -> list[Finding]:
    found = available_memory()
    if found is None:
        return []
    total, free = found
    said = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    if free < _LITTLE_MEMORY:
        remedy = (
            "close other programs, or use a smaller --size; the system ends a process that takes more than there is"
        )
        return [Finding("warning", "memory", said, remedy, "memory")]
    return [Finding("ok", "memory", said)]


def available_memory() -> tuple[int, int] | None:
    """Bytes of memory, in all and to be had; those of the container where it is given less. None if not told."""
    memory = read_memory()
    if memory is None:
        return None
    if memory.group is None:
        return memory.total, memory.available
    limit, used = memory.group
    return min(memory.total, limit), min(memory.available, max(0, limit - used))


def _disk() -> list[Finding]:
    findings = []
    for subject, folder in (("disk, here", Path.cwd()), ("disk, temporary", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        said = f"{free / 1e9:.1f} GB free in {folder}"
        little = free < _LITTLE_DISK
        remedy = "free some space: exported and converted models of several recipes lie side by side" if little else ""
        findings.append(Finding("warning" if little else "ok", subject, said, remedy, "disk" if little else ""))
    return findings
