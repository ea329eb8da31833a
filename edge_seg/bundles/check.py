"""Whether a bundle is whole and fits together, without running it: all that is wrong, not only the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_seg.bundle import MANIFEST, Bundle, check_signed, examine_bundle
from edge_seg.bundles.text import megabytes, table
from edge_seg.errors import BundleError, EdgeSegError, ImageError
from edge_seg.printable import printable
from edge_seg.runtime.engines import ENGINES
from edge_seg.runtime.engines.checks import check_graphs, file_of
from edge_seg.runtime.selftest import read_golden
from edge_seg.signature import SIGNATURE, read_signature
from edge_seg.trust import Trust, require_trusted, trusted_keys
from edge_seg.words import counted


@dataclass(frozen=True)
class CheckReport:
    """``checks``: each with what was found, or its problems; ``notes``: what is odd but harms nothing."""

    path: Path
    bundle: Bundle | None = None
    checks: dict[str, str | list[EdgeSegError]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def id(self) -> str | None:
        return self.bundle.id if self.bundle else None

    @property
    def problems(self) -> list[tuple[str, EdgeSegError]]:
        """All problems, each with its check's name."""
        return [(name, problem) for name, said in self.checks.items() if isinstance(said, list) for problem in said]

    @property
    def exit_code(self) -> int:
        return 1 if self.problems else 0

    def as_json(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "id": self.id,
            "sound": not self.problems,
            "checks": {name: said if isinstance(said, str) else None for name, said in self.checks.items()},
            "problems": [{"check": name, **problem.as_json()} for name, problem in self.problems],
            "notes": self.notes,
        }

    def __str__(self) -> str:
        count = len(self.problems)
        head = f"{self.path}: {'sound' if not count else f'{count} problem' + 's' * (count > 1)}"
        rows = [
            (name, said if isinstance(said, str) else "FAILED" if said else "not checked")
            for name, said in self.checks.items()
        ]
        lines = [head, table(rows)]
        lines += [f"{name}: {printable(problem.message, 1000)}\n  {problem.remedy}" for name, problem in self.problems]
        return "\n".join([*lines, *(f"note: {printable(note)}" for note in self.notes)])


def check(path: Path, public_key: Path | None = None) -> CheckReport:
    """Checks manifest, files, tensors, golden picture and signature; with ``public_key``, who signed it.

    Problems of the bundle are in the report. Raises UsageError for a key that can't be used and
    MissingDependencyError when a signature is asked for and its library isn't installed.
    """
    try:
        bundle, faults = examine_bundle(path)
    except BundleError as problem:
        return CheckReport(path, checks={"manifest": [problem]})
    manifest = bundle.manifest
    report = CheckReport(path, bundle)
    count, size = len(bundle.files), megabytes(_size(bundle))
    report.checks["manifest"] = f"schema {manifest.schema}, {printable(manifest.name)}"
    report.checks["files"] = [*faults.values()] or f"{counted(count, 'file')}, {size}, hashes as in the manifest"
    report.checks["engine"] = _outcome(lambda: _check_engine(bundle))
    report.checks["tensors"] = _outcome(lambda: _check_tensors(bundle))
    report.checks["golden"] = [] if faults.keys() & manifest.golden.files else _outcome(lambda: _check_golden(bundle))
    report.checks["signature"] = _outcome(lambda: _check_signature(bundle, public_key))
    report.notes.extend(_strays(bundle))
    return report


def open_sound(path: Path, public_key: Path | None = None) -> Bundle:
    """The bundle, when :func:`check` finds nothing wrong with it; raises its first problem, and what `check` raises."""
    report = check(path, public_key)
    for _, problem in report.problems:
        raise problem
    assert report.bundle is not None
    return report.bundle


def _outcome(step: Callable[[], str]) -> str | list[EdgeSegError]:
    try:
        return step()
    except (BundleError, ImageError) as problem:
        return [problem]


def _size(bundle: Bundle) -> int:
    return sum((bundle.path / name).stat().st_size for name in bundle.files if (bundle.path / name).is_file())


def _check_engine(bundle: Bundle) -> str:
    manifest = bundle.manifest
    if manifest.engine not in ENGINES:
        raise BundleError(
            f"{bundle.path / MANIFEST}: manifest.engine: expected one of {', '.join(ENGINES)}, found"
            f" {manifest.engine!r}",
            remedy="copy the bundle again, or use the version of edge-seg that made it",
            code="engine-unknown",
        )
    for graph in manifest.graphs:
        for suffix in ENGINES[manifest.engine].suffixes:
            file_of(bundle, graph, suffix)
    return printable(f"{manifest.engine} {manifest.engine_version} for {manifest.target}, {manifest.precision}")


def _check_tensors(bundle: Bundle) -> str:
    check_graphs(bundle.manifest)
    graphs = bundle.manifest.graphs.items()
    return "; ".join(f"{printable(name)} {len(graph.inputs)} in, {len(graph.outputs)} out" for name, graph in graphs)


def _check_golden(bundle: Bundle) -> str:
    image, expected = read_golden(bundle)
    height, width = image.shape[:2]
    best, keep = bundle.manifest.golden.instances, bundle.manifest.postprocess.keep
    if best is not None and not 0 < best <= keep:
        raise BundleError(
            f"{bundle.path / MANIFEST}: manifest.golden.instances: {best}, expected 1 to {keep}",
            remedy="copy the bundle again or convert anew",
            code="manifest-invalid",
        )
    return f"an image of {height}x{width} with {counted(len(expected), 'instance')}"


def _check_signature(bundle: Bundle, public_key: Path | None) -> str:
    if public_key is not None:
        return f"holds: {require_trusted(bundle, public_key)}"
    signature = read_signature(bundle.path / SIGNATURE)
    if signature is None:
        return "none"
    check_signed(bundle)
    file = trusted_keys().get(signature.public_key)
    return f"holds: {Trust(signature, file)}" + ("" if file else "; whose that is, --public-key checks")


def _strays(bundle: Bundle) -> list[str]:
    known = {bundle.path / name for name in (MANIFEST, SIGNATURE, *bundle.files)}
    strays = sorted(file for file in bundle.path.rglob("*") if not file.is_dir() and file not in known)
    shown = [f"{file.relative_to(bundle.path)} isn't part of the bundle; packing leaves it out" for file in strays[:5]]
    return [*shown, f"and {len(strays) - 5} more such files"] if len(strays) > 5 else shown
