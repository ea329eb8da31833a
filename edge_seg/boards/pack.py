"""One file for a board: runner, the libraries that it needs beside a C library, bundle and a start script."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg import __version__
from edge_seg.archive import pack as write_archive
from edge_seg.boards.elf import C_LIBRARY, KINDS, Elf, check_elf, read_elf
from edge_seg.bundle import Bundle
from edge_seg.bundles.pack import folder_name, members
from edge_seg.bundles.text import megabytes
from edge_seg.errors import BundleError, EdgeSegError, UsageError
from edge_seg.files import refuse_overwriting, sha256
from edge_seg.manifest import Manifest

RUN, RUNNER, LIBRARIES, BUNDLE = "run", "edge-seg-run", "lib", "bundle"
LIGHT_LIBRARY = "libpaddle_light_api_shared.so"

# The way is resolved here, and not by readlink -f, which old boards' systems haven't.
SCRIPT = """#!/bin/sh
# Runs the model that lies beside this script: ./run --images photo.jpg --json
# Packed by edge-seg {version} for {arch}.
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
    arch: str
    bytes: int
    sha256: str
    model_bytes: int
    program_bytes: int
    libraries: tuple[str, ...] = ()
    glibc: str | None = None
    """The oldest version of glibc that it runs with; None where no file says."""
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "file": str(self.file),
            "arch": self.arch,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "model_bytes": self.model_bytes,
            "program_bytes": self.program_bytes,
            "libraries": list(self.libraries),
            "glibc": self.glibc,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        parts = f"unpacked, the model is {megabytes(self.model_bytes)} and the programs {megabytes(self.program_bytes)}"
        lines = [f"{self.file}  {megabytes(self.bytes)}, for {self.arch}; {parts}"]
        if self.glibc:
            lines.append(f"needs glibc {self.glibc} or newer")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def pack(bundle: Bundle, arch: str, runner: Path, library: Path | None, out: Path) -> Packed:
    """Writes the archive; the same files give the same bytes.

    Of the libraries that ``runner`` and ``library`` need, those that not every system has (:data:`C_LIBRARY`) are taken
    from beside them. Raises UsageError when ``out`` would overwrite one of them or lies in the bundle, UsageError or
    EdgeSegError when runner, libraries, bundle and ``arch`` don't fit each other.
    """
    refuse_overwriting(out, [bundle.path, runner, *([library] if library else [])])
    notes, program, inference = _check(bundle, arch, runner, library)
    libraries = {library.name: library} if library else {}
    found = _needed(arch, {runner: program, **({library: inference} if library else {})}, notes)
    libraries |= {file.name: file for file in found if file.name not in libraries}
    refuse_overwriting(out, list(libraries.values()))
    script = SCRIPT.format(version=__version__, arch=arch, libraries=LIBRARIES, runner=RUNNER, bundle=BUNDLE)
    files: list[tuple[str, Path | bytes, int]] = [(RUN, script.encode(), 0o755), (RUNNER, runner, 0o755)]
    files += [(f"{LIBRARIES}/{name}", libraries[name], 0o644) for name in sorted(libraries)]
    files += [(f"{BUNDLE}/{name}", bundle.path / name, 0o644) for name in members(bundle)]
    folder = folder_name(bundle)
    write_archive(out, [(f"{folder}/{name}", content, mode) for name, content, mode in files])
    programs = sum(file.stat().st_size for file in (runner, *libraries.values()))
    oldest = max((elf.glibc for elf in (program, inference, *found.values()) if elf and elf.glibc), default=None)
    return Packed(
        out,
        arch,
        out.stat().st_size,
        sha256(out),
        bundle.model_bytes,
        programs,
        tuple(sorted(libraries)),
        ".".join(map(str, oldest)) if oldest else None,
        tuple(notes),
    )


def _check(bundle: Bundle, arch: str, runner: Path, library: Path | None) -> tuple[list[str], Elf | None, Elf | None]:
    """Notes, and what the runner and the library are; None for a script, and where there is no library."""
    manifest, kind = bundle.manifest, KINDS[arch]
    if manifest.target not in kind.bundles:
        raise BundleError(
            f"{bundle.path}: the bundle is for {manifest.target}, which doesn't run on {arch}",
            remedy=f"convert with a recipe for {' or '.join(kind.bundles)}, or name the right --arch",
            code="target-mismatch",
        )
    program, elf, notes = read_elf(runner), None, []
    if program is None:
        if not runner.read_bytes().startswith(b"#!"):
            raise UsageError(
                f"{runner}: neither a program nor a script that begins with #!",
                remedy="give the edge-seg-run that `make native-aarch64` built, or a script that starts a runner",
            )
        notes.append(f"{runner.name} is a script: whether it runs is known after the self-test on the board")
    else:
        check_elf(runner, program, arch)
        _check_runner(bundle, runner, program, library)
    if library is not None:
        elf = read_elf(library)
        if elf is None:
            raise UsageError(f"{library}: not a shared library", remedy=f"give {LIGHT_LIBRARY} of the runner's build")
        check_elf(library, elf, arch)
        if library.name == LIGHT_LIBRARY:
            _check_requirements(bundle, library, elf)
    return notes, program, elf


def requirements(manifest: Manifest) -> frozenset[str]:
    """What a bundle needs of Paddle Lite's build: ``extra``, ``fp16``, ``opencl``."""
    listed = manifest.optimizer.get("requires", [])
    needs = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
    if manifest.engine == "paddle-lite" and manifest.precision == "fp16" and "opencl" not in needs:
        needs.add("fp16")
    return frozenset(needs)


def _check_requirements(bundle: Bundle, library: Path, elf: Elf) -> None:
    # Without the extra kernels no runner is built (cmake/FindPaddleLite.cmake).
    missing = sorted(requirements(bundle.manifest) - elf.abilities - {"extra"})
    if missing:
        raise EdgeSegError(
            f"{library}: the bundle needs a Paddle Lite built with {' and '.join(missing)}, and this one isn't",
            remedy="give --library (and the runner's build) one that is, or convert with another recipe, such as"
            " arm-fp32",
            code="requirement-missing",
        )


def _needed(arch: str, given: dict[Path, Elf | None], notes: list[str]) -> dict[Path, Elf]:
    """The libraries that the given files need, and those that these need, beside the C library and the given ones."""
    folders = [folder for file in given for folder in (file.parent, file.parent / LIBRARIES)]
    files = {file.name: (file, elf) for file, elf in given.items() if elf}
    found: dict[Path, Elf] = {}
    waiting = [(file, elf) for file, elf in files.values()]
    missing: dict[str, Path] = {}
    while waiting:
        asker, elf = waiting.pop()
        for name in elf.needed:
            if name in C_LIBRARY:
                continue
            if name not in files:
                file = next((folder / name for folder in folders if (folder / name).is_file()), None)
                other = read_elf(file) if file else None
                if file is None or other is None:
                    missing.setdefault(name, asker)
                    continue
                check_elf(file, other, arch)
                files[name], found[file] = (file, other), other
                waiting.append((file, other))
            file, other = files[name]
            lacking = elf.versions.get(name, frozenset()) - other.defined
            if lacking and other.defined:
                raise EdgeSegError(
                    f"{file}: lacks {', '.join(sorted(lacking))}, which {asker.name} needs",
                    remedy=f"lay the {name} of the compiler that built {asker.name} beside it",
                    code="library-too-old",
                )
    if missing and KINDS[arch].machine == "x86_64":
        notes.append(f"needs {', '.join(sorted(missing))} of the machine's own")
    elif missing:
        names = ", ".join(sorted(missing))
        raise UsageError(
            f"{next(iter(missing.values()))}: needs {names}, which a minimal board lacks",
            remedy=f"lay {names} for {arch} beside it or in {LIBRARIES}/ beside it; `make native-aarch64` and"
            " `make native-armhf` gather them beside their runner",
            code="library-missing",
        )
    return found


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
            remedy="build it with Paddle Lite or ncnn in it (cmake/README.md), or convert with another recipe",
            code="engine-mismatch",
        )
    # ncnn's files are for any version of it.
    if manifest.engine == "paddle-lite" and engines[manifest.engine] != manifest.engine_version:
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
