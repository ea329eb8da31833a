"""Any exported Paddle model → a plain ``.nb``, tried before it is written: ``edge-seg convert FILE --raw``."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.doctor.model import Options, examine_model
from convert.recipe import Recipe
from edge_seg.doctor.report import Finding, Report
from edge_seg.errors import ConversionError, UsageError
from edge_seg.files import atomic_file, refuse_other_kind, scratch_dir, sha256
from edge_seg.process.guard import phase


@dataclass(frozen=True)
class Raw:
    """What was written, and what the doctor found while it was tried."""

    out: Path
    recipe: Recipe
    report: Report

    def as_json(self) -> dict[str, Any]:
        return {
            "path": str(self.out),
            "recipe": self.recipe.name,
            "bytes": self.out.stat().st_size,
            "sha256": sha256(self.out),
            "proven": self.report.verdict == "fine",
            "findings": [finding.as_json() for finding in self.report.findings],
            **self.report.facts,
        }

    def __str__(self) -> str:
        lines = [f"{self.out}  {self.out.stat().st_size / 1e6:.1f} MB for {self.recipe.target}"]
        told = [finding for finding in self.report.findings if finding.level != "note"]
        for finding in told:
            doubt = {"warning": "warning: ", "unproven": "not proven: "}.get(finding.level, "")
            lines.append(f"  {finding.subject}: {doubt}{finding.message}")
            if finding.remedy:
                lines.append(f"    → {finding.remedy}")
        return "\n".join(lines)


def check(recipes: tuple[Recipe, ...], out: Path) -> Recipe:
    """The one recipe. Raises :class:`UsageError` for others than Paddle Lite's in fp32, and for a bad name."""
    if len(recipes) != 1:
        raise UsageError("--raw takes one recipe", remedy="convert once for each")
    (recipe,) = recipes
    if recipe.engine != "paddle-lite" or recipe.precision != "fp32" or recipe.target not in ("arm", "x86"):
        raise UsageError(f"--recipe {recipe.name}: --raw makes a .nb", remedy="choose arm-fp32 or x86-fp32")
    if out.suffix != ".nb":
        raise UsageError(f"--out {out}: the file's name must end with .nb", remedy=f"write {out.name}.nb")
    if out.is_dir():
        raise UsageError(f"--out {out}: a folder; a file is to be written", remedy="use another name", code="exists")
    refuse_other_kind(out, b"\x02\0", "a .nb")
    return recipe


def convert_raw(path: Path, recipe: Recipe, out: Path, shapes: Mapping[str, tuple[int, ...]]) -> Raw:
    """Writes ``out`` when opt converts the model and nothing that was tried went wrong.

    The model for x86 (for an Arm file too) was loaded and run twice on random inputs, and gave paddle's values. Where
    that can't be done here, the report says so. Raises :class:`ConversionError` with the doctor's remedy.
    """
    with scratch_dir(Path(tempfile.gettempdir()) / "raw") as scratch:
        made = scratch / "model.nb"
        report = examine_model(path, Options(recipe.target, dict(shapes), keep=made))
        for finding in report.findings:
            if finding.level == "error":
                raise _refusal(path, finding)
        phase(f"writing {out}")
        with atomic_file(out) as partial:
            partial.write_bytes(made.read_bytes())
    return Raw(out, recipe, report)


def _refusal(path: Path, finding: Finding) -> ConversionError:
    return ConversionError(
        f"{path}: {finding.subject}: {finding.message}", remedy=finding.remedy, code=finding.code or "conversion"
    )
