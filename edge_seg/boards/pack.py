"""One file for a board: runner, inference library, bundle and a start script, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg import __version__
from edge_seg.archive import pack as write_archive
from edge_seg.boards.elf import KINDS, Elf, check_elf, read_elf
from edge_seg.bundle import Bundle
from edge_seg.bundles.pack import folder_name, members
from edge_seg.bundles.text import megabytes
from edge_seg.errors import BundleError, EdgeSegError, UsageError
from edge_seg.files import refuse_overwriting, sha256

RUN, RUNNER, LIBRARIES, BUNDLE = "run", "edge-seg-run", "lib", "bundle"
LIGHT_LIBRARY = "libpaddle_light_api_shared.so"

# The way is resolved here, and not by readlink -f, which old boards' systems haven't.
SCRIPT = """#!/bin/sh
# Runs the model that lies beside this script: ./run --images photo.jpg --json
# Packed by edge-seg {version} for {target}.
me=$0
while [ -h "$me" ]; do
  to=$(readlink "$me")
  case $to in /*) me=$to ;; *) me=$(dirname "$me")/$to ;; esac
done
here=$(cd -- "$(dirname "$me")" && pwd -P) || exit 1
LD_LIBRARY_PATH=$here/{libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}
export LD_LIBRARY_PATH
exec "$here/{runner}" --bundle "$here/{bundle}" "$@"
"""


@dataclass(frozen=True)
class Packed:
    """The file that was written. ``notes`` say what couldn't be checked."""

    file: Path
    target: str
    bytes: int
    sha256: str
    model_bytes: int
    program_bytes: int
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "file": str(self.file),
            "target": self.target,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "model_bytes": self.model_bytes,
            "program_bytes": self.program_bytes,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        parts = f"unpacked, the model is {megabytes(self.model_bytes)} and the programs {megabytes(self.program_bytes)}"
        lines = [f"{self.file}  {megabytes(self.bytes)}, for {self.target}; {parts}"]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def pack(bundle: Bundle, target: str, runner: Path, library: Path | None, out: Path) -> Packed:
    """Writes the archive; the same files give the same bytes.

    Raises UsageError when ``out`` would overwrite one of them or lies in the bundle, UsageError or EdgeSegError when
    runner, library, bundle and ``target`` don't fit each other.
    """
    refuse_overwriting(out, [bundle.path, runner, *([library] if library else [])])
    notes = _check(bundle, target, runner, library)
    script = SCRIPT.format(version=__version__, target=target, libraries=LIBRARIES, runner=RUNNER, bundle=BUNDLE)
    files: list[tuple[str, Path | bytes, int]] = [(RUN, script.encode(), 0o755), (RUNNER, runner, 0o755)]
    if library is not None:
        files.append((f"{LIBRARIES}/{library.name}", library, 0o644))
    files += [(f"{BUNDLE}/{name}", bundle.path / name, 0o644) for name in members(bundle)]
    folder = folder_name(bundle)
    write_archive(out, [(f"{folder}/{name}", content, mode) for name, content, mode in files])
    programs = runner.stat().st_size + (library.stat().st_size if library else 0)
    return Packed(out, target, out.stat().st_size, sha256(out), bundle.model_bytes, programs, tuple(notes))


def _check(bundle: Bundle, target: str, runner: Path, library: Path | None) -> list[str]:
    manifest, kind = bundle.manifest, KINDS[target]
    if manifest.target not in kind.bundles:
        raise BundleError(
            f"{bundle.path}: the bundle is for {manifest.target}, which doesn't run on {target}",
            remedy=f"convert with a recipe for {' or '.join(kind.bundles)}, or name the right --target",
            code="target-mismatch",
        )
    program = read_elf(runner)
    if program is None:
        if not runner.read_bytes().startswith(b"#!"):
            raise UsageError(
                f"{runner}: neither a program nor a script that begins with #!",
                remedy="give the edge-seg-run that `make native-aarch64` built, or a script that starts a runner",
            )
        notes = [f"{runner.name} is a script: only the self-test on the board will tell whether it runs there"]
    else:
        check_elf(runner, program, target)
        _check_runner(bundle, runner, program, library)
        notes = []
    if library is not None:
        elf = read_elf(library)
        if elf is None:
            raise UsageError(f"{library}: not a shared library", remedy=f"give {LIGHT_LIBRARY} of the runner's build")
        check_elf(library, elf, target)
    return notes


def _check_runner(bundle: Bundle, runner: Path, program: Elf, library: Path | None) -> None:
    manifest = bundle.manifest
    if program.identity is None:
        raise UsageError(
            f"{runner}: not an edge-seg-run, or one older than edge-seg {__version__}",
            remedy="build it from the same version (cmake/README.md)",
            code="runner-unknown",
        )
    _, engines = program.identity
    if manifest.engine not in engines:
        built = "has no Paddle Lite in it" if manifest.engine == "paddle-lite" else f"has only {', '.join(engines)}"
        raise EdgeSegError(
            f"{runner}: the bundle needs the engine {manifest.engine}, but this runner {built}",
            remedy="build it with PADDLE_LITE_DIR (cmake/README.md), or convert with a recipe for paddle-lite",
            code="engine-mismatch",
        )
    if engines[manifest.engine] != manifest.engine_version:
        raise EdgeSegError(
            f"{runner}: built with {manifest.engine} {engines[manifest.engine]}, but the bundle was made for"
            f" {manifest.engine_version}",
            remedy=f"build the runner with {manifest.engine} {manifest.engine_version}, or convert with the other one",
            code="version-mismatch",
        )
    if LIGHT_LIBRARY.encode() in program.content and library is None:
        raise UsageError(
            f"{runner}: needs {LIGHT_LIBRARY}, which isn't named",
            remedy="give it with --library: it lies in cxx/lib of the Paddle Lite that the runner was built with",
            code="library-missing",
        )
