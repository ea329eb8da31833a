"""Job → bundles: the stages in order, one export for all recipes, and all bundles or none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from convert import stages
from convert.artifacts import Assembled, Compiled, Draft, Exported, Job, Referenced, Verified
from convert.assemble import assemble
from convert.backends.compile import compile_graphs
from convert.check.check import verify
from convert.export import reference
from convert.recipe import Recipe
from convert.stages import Stage
from edge_seg.bundle import MANIFEST, own_files
from edge_seg.errors import UsageError
from edge_seg.files import atomic_dir, check_replaceable, scratch_dir

Note = Callable[[str, float], None]


def shared_stages(scratch: Path, form: tuple[str, ...]) -> tuple[Stage, ...]:
    """What is done once, whatever the recipes; exported graphs, in the form given, go to ``scratch``."""

    def export(referenced: Referenced) -> Exported:
        from convert.export.export import export

        return export(referenced, scratch, form)

    return (
        Stage("reference", "gives the graphs' shapes and the answer to be met", Job, Referenced, reference.refer),
        Stage("export", "layers to a program that other tools read", Referenced, Exported, export),
    )


RECIPE_STAGES = (
    Stage("compile", "the program to what the engine loads", Draft, Compiled, compile_graphs),
    Stage("assemble", "a bundle can be run only with its manifest", Compiled, Assembled, assemble),
    Stage("verify", "last, on the very files that will be shipped", Assembled, Verified, verify),
)


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


def make_bundles(
    job: Any,
    recipes: Sequence[Recipe],
    out: Path,
    note: Note = lambda name, seconds: None,
    shared: Callable[[Path], tuple[Stage, ...]] | None = None,
) -> list[Verified]:
    """Writes a bundle for each recipe; their folders appear once all are verified, replacing older bundles there.

    ``shared`` makes the stages that turn ``job`` (a Job, or what else they take) into what every recipe starts from,
    in place of :func:`shared_stages`.

    Raises :class:`ConversionError` when a stage fails, UsageError when a destination holds something other than a
    bundle; then nothing is left behind.
    """
    made_here = not out.exists()
    places = destinations(out, recipes)
    shared = shared or partial(shared_stages, form=recipes[0].graphs)
    try:
        with ExitStack() as stack:
            folders = {r: stack.enter_context(atomic_dir(path, ours=own_files)) for r, path in places.items()}
            scratch = stack.enter_context(scratch_dir(out))
            exported = stages.run(shared(scratch), job, note)
            verified = _all_recipes(exported, folders, scratch, note)
    except BaseException:
        if made_here and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
        raise
    return [Verified(recipe, places[recipe], verified[recipe].report) for recipe in recipes]


def _all_recipes(exported: Exported, folders: dict[Recipe, Path], scratch: Path, note: Note) -> dict[Recipe, Verified]:
    """Verifies each recipe's bundle after its witness's; a witness that wasn't asked for stays in ``scratch``."""
    verified: dict[Recipe, Verified] = {}
    forms = {(exported.form, ""): exported}
    of_a_model = exported.referenced.job.model is not None  # else there is one form, that in which it came

    def form(recipe: Recipe) -> Exported:
        names, rounding = recipe.graphs if of_a_model else exported.form, recipe.rounding
        begun = time.monotonic()
        if (names, "") not in forms:
            from convert.export.export import export

            folder = scratch / "-".join(names)
            folder.mkdir()
            forms[names, ""] = export(exported.referenced, folder, names)
            note("export", time.monotonic() - begun)
        if (names, rounding) not in forms:
            from convert.quantize.plan import quantised

            forms[names, rounding] = quantised(forms[names, ""], rounding, scratch / f"{rounding}-{len(names)}")
            note(f"quantise {rounding}", time.monotonic() - begun)
        return forms[names, rounding]

    def make(recipe: Recipe) -> Verified:
        if recipe not in verified:
            twin = recipe.twin()
            witness = None if twin == recipe else make(twin)
            folder = folders.get(recipe, scratch / f"{recipe.name}-{len(recipe.graphs)}")
            folder.mkdir(exist_ok=True)
            draft = Draft(form(recipe), recipe, folder, witness)
            verified[recipe] = stages.run(RECIPE_STAGES, draft, lambda name, s: note(f"{recipe.name}: {name}", s))
        return verified[recipe]

    for recipe in folders:
        make(recipe)
    return verified
