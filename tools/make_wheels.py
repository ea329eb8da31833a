"""Wheels of the native runner for boards, from the builds in build/native: python tools/make_wheels.py OUT

`pip install edge_seg_runner-….whl` on a board brings the program and the libraries that it needs; edge-seg finds it
there. A wheel's platform is what its files need: the processor, and the oldest glibc that has their symbol versions.
auditwheel judges each wheel before it is kept.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edge_seg import __version__
from edge_seg.boards.elf import C_LIBRARY, Elf, read_elf
from edge_seg.boards.pack import LIGHT_LIBRARY, RUNNER
from edge_seg.errors import EdgeSegError
from edge_seg.files import atomic_file

ROOT = Path(__file__).parents[1]
BUILDS = ROOT / "build" / "native"
MACHINES = {"x86-64": "x86_64", "aarch64": "aarch64", "armhf": "armv7l"}
"""Build folders of `make native-…`, and how wheels call the processor."""
GLIBC = ((2, 17), (2, 24), (2, 26), (2, 27), (2, 28), (2, 31), (2, 34), (2, 35), (2, 39))
"""Those for which there are manylinux platforms; pip installs a wheel where glibc isn't older."""
PACKAGE, DIST = "edge_seg_runner", f"edge_seg_runner-{__version__}"
STAMP = (1980, 1, 1, 0, 0, 0)  # the same files give the same bytes

INIT = '''"""The native runner of edge-seg, for the processor and the system of this wheel."""

import os
import sys

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "edge-seg-run")
__version__ = "{version}"


def main():
    """Becomes the program."""
    os.execv(PROGRAM, [PROGRAM, *sys.argv[1:]])
'''
METADATA = """Metadata-Version: 2.1
Name: edge-seg-runner
Version: {version}
Summary: The native runner of edge-seg: runs and measures instance segmentation bundles ({engines})
License: Apache-2.0
Requires-Python: >=3.8
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: C++
"""


@dataclass(frozen=True)
class Wheel:
    """A wheel that was made: its file, its platform, the engines in it."""

    file: Path
    platform: str
    engines: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}  {self.file.stat().st_size / 1e6:.1f} MB, engines: {', '.join(self.engines)}"


def make_wheel(build: Path, machine: str, out: Path) -> Wheel:
    """The wheel of a build folder. Raises EdgeSegError for a program that can't be one."""
    runner = build / RUNNER
    files = {RUNNER: runner}
    program = read_elf(runner)
    if program is None or program.identity is None:
        raise EdgeSegError(f"{runner}: not an edge-seg-run", remedy="build it again")
    files |= {f"lib/{file.name}": file for file in _libraries(program, build)}
    elves = [elf for file in files.values() if (elf := read_elf(file)) is not None]
    glibc = max(elf.glibc or (2, 17) for elf in elves)
    level = next((known for known in GLIBC if known >= glibc), None)
    if level is None:
        raise EdgeSegError(f"{runner}: needs glibc {'.'.join(map(str, glibc))}", remedy="link with an older C library")
    platform = f"manylinux_{level[0]}_{level[1]}_{machine}"
    engines = tuple(sorted(program.identity[1]))
    wheel = out / f"{DIST}-py3-none-{platform}.whl"
    out.mkdir(parents=True, exist_ok=True)
    with atomic_file(wheel) as partial:
        _write(partial, platform, engines, files)
        _audit(partial, platform)
    return Wheel(wheel, platform, engines)


def _libraries(program: Elf, build: Path) -> list[Path]:
    """What the program needs beside a C library, from beside it, and what that needs in turn."""
    found: dict[str, Path] = {}
    waiting = [name for name in program.needed if name not in C_LIBRARY]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        places = [build / name, build / "lib" / name]
        if name == LIGHT_LIBRARY:
            cache = (build / "CMakeCache.txt").read_text(encoding="utf-8")
            lite = re.search(r"^PaddleLite_LIBRARY:FILEPATH=(.+)$", cache, re.MULTILINE)
            places += [Path(lite[1])] if lite else []
        file = next((place for place in places if place.is_file()), None)
        library = read_elf(file) if file else None
        if file is None or library is None:
            raise EdgeSegError(
                f"{build / RUNNER}: needs {name}, which isn't beside it",
                remedy="build it against the older Debian (`make native-aarch64 native-armhf native-x86-64`)",
            )
        found[name] = file
        waiting += [other for other in library.needed if other not in C_LIBRARY]
    return [found[name] for name in sorted(found)]


def _write(wheel: Path, platform: str, engines: tuple[str, ...], files: dict[str, Path]) -> None:
    info = f"{DIST}.dist-info"
    contents: list[tuple[str, bytes, int]] = [
        (f"{PACKAGE}/__init__.py", INIT.format(version=__version__).encode(), 0o644),
        *((f"{PACKAGE}/{name}", file.read_bytes(), 0o755) for name, file in files.items()),
        (f"{info}/METADATA", METADATA.format(version=__version__, engines=", ".join(engines)).encode(), 0o644),
        (
            f"{info}/WHEEL",
            f"Wheel-Version: 1.0\nGenerator: edge-seg {__version__}\nRoot-Is-Purelib: false\n"
            f"Tag: py3-none-{platform}\n".encode(),
            0o644,
        ),
        (f"{info}/entry_points.txt", f"[console_scripts]\nedge-seg-run = {PACKAGE}:main\n".encode(), 0o644),
        (f"{info}/LICENSE", (ROOT / "LICENSE").read_bytes(), 0o644),
    ]
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()},"
        f"{len(content)}\n"
        for name, content, _ in contents
    )
    contents.append((f"{info}/RECORD", f"{record}{info}/RECORD,,\n".encode(), 0o644))
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in contents:
            entry = zipfile.ZipInfo(name, STAMP)
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def _audit(wheel: Path, platform: str) -> None:
    """Raises EdgeSegError unless auditwheel finds the wheel to be of ``platform``, or of an older one."""
    command = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = " ".join(done.stdout.split())
    found = re.search(r'consistent with the following platform tag: "(manylinux_(\d+)_(\d+)_\w+)"', said)
    asked = tuple(int(number) for number in platform.split("_")[1:3])
    if done.returncode != 0 or found is None or (int(found[2]), int(found[3])) > asked:
        raise EdgeSegError(
            f"{wheel.name}: auditwheel doesn't find it to be of {platform}:\n{done.stdout}{done.stderr}",
            remedy="see which library or symbol it names; `pip install auditwheel` where it isn't installed",
        )


def main() -> int:
    out = Path(sys.argv[1]) if len(sys.argv) == 2 else ROOT / "dist"
    built = {name: machine for name, machine in MACHINES.items() if (BUILDS / name / RUNNER).is_file()}
    for name in MACHINES.keys() - built.keys():
        print(f"Skipped: {name}, which isn't built (`make native-{name}`)", file=sys.stderr)
    if not built:
        print("Error: no native runner is built", file=sys.stderr)
        return 1
    try:
        for name, machine in built.items():
            print(make_wheel(BUILDS / name, machine, out))
    except EdgeSegError as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
