"""The machine: are the libraries of the tested versions there, can they be loaded, is the hardware enough?"""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from convert.doctor.processor import examine_processor
from convert.doctor.report import Finding, Level, Report
from edge_seg.process.child import Outcome, run_command
from edge_seg.process.python import code_command
from edge_seg.records.machine import Processor, read_processor

LIMIT_S = 180.0
_LITTLE_MEMORY = 2 << 30
_LITTLE_DISK = 2 << 30

TRAIN, CONVERT, PREDICT = "train", "convert", "predict"


@dataclass(frozen=True)
class Library:
    """A row of the table below.

    ``names``: the distributions that bring it, the first one is ours to install. ``tested``: the version that the tests
    run with. ``fits``: the versions that are taken for good, as beginnings of their numbers. ``needed`` by which work:
    without it, or when it can't be loaded, that work is impossible. ``engine``: the engine that it is, one of which
    predicting needs. ``otherwise``: what another version does; with the versions that ``stops`` begin, ``stops_work``
    is impossible.
    """

    title: str
    module: str
    names: tuple[str, ...]
    tested: str
    fits: tuple[str, ...]
    needed: tuple[str, ...]
    extra: str = ""
    engine: str = ""
    otherwise: str = "not tested"
    stops: tuple[str, ...] = ()
    stops_work: str = ""

    @property
    def install(self) -> str:
        return f"pip install 'edge-seg[{self.extra}]'" if self.extra else f"pip install {self.names[0]}=={self.tested}"


PYTHON = "3.10"
"""The newest for which there is a paddlelite wheel."""

LIBRARIES = (
    Library(
        "numpy", "numpy", ("numpy",), "1.26.4", ("1.",), (PREDICT,), otherwise="paddle 2.6.2 was built against 1.x"
    ),
    Library(
        "OpenCV",
        "cv2",
        ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
        "4.11.0.86",
        ("4.",),
        (PREDICT,),
    ),
    Library("pycocotools", "pycocotools.mask", ("pycocotools",), "2.0.11", ("2.",), (PREDICT,)),
    Library(
        "paddle",
        "edge_seg.paddle_env",
        ("paddlepaddle", "paddlepaddle-gpu"),
        "2.6.2",
        ("2.6.",),
        (TRAIN, CONVERT),
        extra="train",
        engine="paddle-inference",
        otherwise="trains, and its weights can be carried over, but it isn't tested",
        stops=("3.",),
        stops_work=CONVERT,
    ),
    Library(
        "paddlelite",
        "paddlelite.lite",
        ("paddlelite",),
        "2.13rc0",
        ("2.13rc0",),
        (CONVERT,),
        extra="lite",
        engine="paddle-lite",
        otherwise="a bundle runs only on the version that it was made with",
    ),
    Library(
        "ONNX Runtime", "onnxruntime", ("onnxruntime", "onnxruntime-gpu"), "1.23.2", ("1.",), (), "onnx", "onnxruntime"
    ),
    Library("onnx", "onnx", ("onnx",), "1.23.2", ("1.",), (), "onnx"),
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


def examine_machine() -> Report:
    """This machine, as found. Libraries are loaded in a child process, since they may end it."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    processor = read_processor(platform.machine(), cpuinfo)
    # On a board there is nothing to train or convert with, and no need to.
    works = (TRAIN, CONVERT, PREDICT) if processor.x86 else (PREDICT,)
    findings = [
        _python(works),
        *_libraries(works),
        *_engines(),
        *examine_processor(processor),
        *_memory(),
        *_disk(),
    ]
    facts = {
        "libraries": {library.title: _installed(library) for library in LIBRARIES},
        "python": platform.python_version(),
        "processor": {
            "machine": processor.machine,
            "cores": processor.cores,
            "features": list(processor.features),
        },
        "work": list(works),
    }
    return Report("machine", _title(processor), tuple(findings), facts)


def _title(processor: Processor) -> str:
    return f"{platform.node() or 'this machine'} ({platform.system()} on {processor.machine})"


def _python(works: tuple[str, ...]) -> Finding:
    found = platform.python_version()
    if found.startswith(f"{PYTHON}.") or CONVERT not in works:
        return Finding("ok", "Python", found)
    return Finding(
        "error",
        "Python",
        f"{found}; paddlelite, which converts, has wheels up to {PYTHON} only",
        f"make an environment with Python {PYTHON}, such as: python{PYTHON} -m venv .venv",
        "python-version",
    )


def _libraries(works: tuple[str, ...]) -> Iterator[Finding]:
    there = [library for library in LIBRARIES if _installed(library)]
    modules = [library.module for library in there]
    outcome = run_command(code_command(_IMPORTS, *modules), LIMIT_S) if modules else None
    for library in LIBRARIES:
        version = _installed(library)
        stopped = [work for work in library.needed if work in works]
        if version is None:
            yield _missing(library, stopped)
            continue
        assert outcome is not None
        problem = import_problem(library.module, outcome)
        if problem:
            level: Level = "error" if stopped else "warning"
            remedy = f"install it anew: pip install --force-reinstall {library.names[0]}=={library.tested}"
            yield Finding(
                level, library.title, f"{version}, but it can't be loaded: {problem}", remedy, "import-failed"
            )
        else:
            yield judge_version(library, version, works)


def _engines() -> Iterator[Finding]:
    engines = [library.engine for library in LIBRARIES if library.engine and _installed(library)]
    if engines:
        yield Finding("ok", "engines", ", ".join(engines))
    else:
        remedy = "pip install 'edge-seg[onnx]', or use the C++ runner"
        yield Finding("error", "engines", "none: nothing here can run a bundle", remedy, "missing-dependency")


def _missing(library: Library, stopped: list[str]) -> Finding:
    if not stopped:
        remedy = f"for the recipes onnx-…: {library.install}" if library.extra == "onnx" else ""
        return Finding("note", library.title, "not installed; not needed here", remedy)
    works = " and ".join(f"edge-seg {work}" for work in stopped)
    return Finding("error", library.title, f"not installed; {works} needs it", library.install, "missing-dependency")


def judge_version(library: Library, version: str, works: tuple[str, ...]) -> Finding:
    """Whether the installed ``version`` fits, is untested or makes some of the ``works`` impossible."""
    pin = f"pip install '{library.names[0]}=={library.tested}'"
    if version.startswith(library.stops) and library.stops_work in works:
        return Finding(
            "error",
            library.title,
            f"{version}; opt, which converts, can't read what it exports",
            f"{pin}; weights (.pdparams) trained with {version} can be used there",
            "version",
        )
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
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines() if ":" in line)
        total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError, IndexError):
        return None
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        total, free = min(total, limit), min(free, max(0, limit - used))
    except (OSError, ValueError):  # not in a container, or one without a limit ("max")
        pass
    return total, free


def _disk() -> list[Finding]:
    findings = []
    for subject, folder in (("disk, here", Path.cwd()), ("disk, temporary", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        said = f"{free / 1e9:.1f} GB free in {folder}"
        little = free < _LITTLE_DISK
        remedy = "free some space: exported and converted models of several recipes lie side by side" if little else ""
        findings.append(Finding("warning" if little else "ok", subject, said, remedy, "disk" if little else ""))
    return findings
