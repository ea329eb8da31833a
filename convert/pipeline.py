"""From a job to bundles: every step, in order, each done once whatever the number of recipes.

::

    Job ─reference─▶ Referenced ─export─▶ Exported ─quantize─▶ Exported              once for each form and precision
    Draft ─compile─▶ Compiled ─assemble─▶ Assembled ─check─▶ Checked                once for each recipe

An Arm bundle takes its check from a bundle of the same graphs that the host runs, which is made first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from convert import stages
from convert.artifacts import Assembled, Checked, Compiled, Draft, Exported, Job, Referenced
from convert.assemble import assemble
from convert.backends.compile import compile_graphs
from convert.check.check import check
from convert.recipe import Recipe
from convert.stages import Stage
from edge_seg.bundle import MANIFEST, own_files, write_manifest
from edge_seg.errors import UsageError
from edge_seg.files import atomic_dir, check_replaceable, scratch_dir

Note = Callable[[str, float], None]
"""Told each stage's name and its seconds once it is done."""


def _silent(stage: str, seconds: float) -> None:
    pass


def _refer(job: Job) -> Referenced:
    return job.model.refer(job)


REFERENCE = Stage("reference", "gives the graphs' shapes and the result to be met", Job, Referenced, _refer)
COMPILE = Stage("compile", "the programs to what the engine loads", Draft, Compiled, compile_graphs)
ASSEMBLE = Stage("assemble", "the engine reads its tensors from the manifest", Compiled, Assembled, assemble)
CHECK = Stage("check", "last, on the very files that will be shipped", Assembled, Checked, check)


def export_stage(form: tuple[str, ...], folder: Path) -> Stage:
    """Exports the graphs named ``form`` into ``folder``."""

    def run(referenced: Referenced) -> Exported:
        return referenced.job.model.export(referenced, form, folder)

    return Stage("export", "the model to programs that other tools read", Referenced, Exported, run)


def quantize_stage(precision: str, folder: Path, plan: Any = None) -> Stage:
    """Quantizes graphs to ``precision`` (w8, w16, int8) in ``folder``: by a manifest's ``plan``, else by a new one."""

    def run(exported: Exported) -> Exported:
        from convert.quantize.plan import again, quantize

        return again(exported, plan, precision, folder) if plan else quantize(exported, precision, folder)

    return Stage(f"quantize {precision}", "numbers of fewer bits, and the result they give", Exported, Exported, run)


class Pipeline:
    """Makes what is asked for, each thing once; files go to ``scratch``.

    ``referenced``: a reference that is known already. ``plan``: how the graphs are quantized, as a manifest's
    ``optimizer.quantization`` holds it; None finds out anew.
    """

    def __init__(
        self, job: Job, scratch: Path, note: Note = _silent, referenced: Referenced | None = None, plan: Any = None
    ) -> None:
        self.job = job
        self._scratch = scratch
        self._note = note
        self._referenced = referenced
        self._plan = plan
        self._graphs: dict[tuple[tuple[str, ...], str], Exported] = {}
        self._bundles: dict[Recipe, Checked] = {}

    @property
    def referenced(self) -> Referenced:
        """What paddle makes of the golden image."""
        if self._referenced is None:
            self._referenced = stages.run([REFERENCE], self.job, self._note)
        return self._referenced

    def graphs(self, form: tuple[str, ...], precision: str = "") -> Exported:
        """The programs named ``form``, quantized to ``precision`` unless that is empty."""
        if (form, precision) not in self._graphs:
            before = self.graphs(form) if precision else self.referenced
            folder = self._folder("-".join(filter(None, (*form, precision))))
            stage = quantize_stage(precision, folder, self._plan) if precision else export_stage(form, folder)
            self._graphs[form, precision] = stages.run([stage], before, self._note)
        return self._graphs[form, precision]

    def bundle(self, recipe: Recipe, folder: Path | None = None) -> Checked:
        """The checked bundle of ``recipe``, in ``folder`` (empty, or none yet) or in the scratch folder."""
        if recipe not in self._bundles:
            by = recipe.checked_by()
            host_check = None if by == recipe else self.bundle(by)
            draft = self._draft(recipe, folder, host_check)
            note = partial(self._note_for, recipe)
            self._bundles[recipe] = stages.run([COMPILE, ASSEMBLE, CHECK], draft, note)
        return self._bundles[recipe]

    def unchecked(self, recipe: Recipe, folder: Path) -> Path:
        """``folder`` with a bundle that holds no check: for those who compare it themselves."""
        made: Assembled = stages.run([COMPILE, ASSEMBLE], self._draft(recipe, folder, None), self._note)
        write_manifest(folder, made.manifest)
        return folder

    def _draft(self, recipe: Recipe, folder: Path | None, host_check: Checked | None) -> Draft:
        form = self.job.model.form(recipe)
        folder = folder or self._folder(f"{recipe.name}-{len(form)}")
        folder.mkdir(exist_ok=True)
        return Draft(self.graphs(form, recipe.quantization), recipe, folder, host_check)

    def _folder(self, name: str) -> Path:
        folder = self._scratch / name
        folder.mkdir()
        return folder

    def _note_for(self, recipe: Recipe, stage: str, seconds: float) -> None:
        self._note(f"{recipe.name}: {stage}", seconds)


def make_bundles(job: Job, recipes: Sequence[Recipe], out: Path, note: Note = _silent) -> list[Checked]:
    """Writes a bundle for each recipe; their folders appear once all are checked, replacing older bundles there.

    Raises :class:`ConversionError` when a stage fails, UsageError when a destination holds something other than a
    bundle; then nothing is left behind.
    """
    made_here = not out.exists()
    places = destinations(out, recipes)
    try:
        with ExitStack() as stack:
            folders = {r: stack.enter_context(atomic_dir(path, ours=own_files)) for r, path in places.items()}
            pipeline = Pipeline(job, stack.enter_context(scratch_dir(out)), note)
            # A bundle that was asked for may also be another's host check: it is made once, in its own place.
            for recipe in sorted(folders, key=lambda recipe: recipe.checked_by() != recipe):
                pipeline.bundle(recipe, folders[recipe])
            made = [Checked(recipe, places[recipe], pipeline.bundle(recipe).report) for recipe in recipes]
    except BaseException:
        if made_here and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
        raise
    return made


def destinations(out: Path, recipes: Sequence[Recipe]) -> dict[Recipe, Path]:
    """Where each bundle goes: ``out`` itself for one recipe, ``out/<recipe>`` for several.

    Raises UsageError when several would be written into a bundle.
    """
    if len(recipes) == 1:
        return {recipes[0]: out}
    if own_files(out):
        raise UsageError(
            f"{out}: a bundle; {len(recipes)} recipes make a folder of bundles",
            remedy=f"name the folder that is to hold them, or remove {out / MANIFEST} and what lies beside it",
            code="exists",
        )
    return {recipe: out / recipe.name for recipe in recipes}


def check_destinations(out: Path, recipes: Sequence[Recipe]) -> None:
    """Raises UsageError when a destination holds something other than a bundle; :func:`make_bundles` does so later."""
    for path in destinations(out, recipes).values():
        check_replaceable(path.resolve(), None, own_files)
