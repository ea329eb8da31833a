"""Models → bundles: run and zoo model in, folders out that a device can run.

Public: :func:`convert`, :data:`RECIPES`, :func:`find_recipe`. The command line is :mod:`convert.cli`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convert.recipe import RECIPES, find_recipe

if TYPE_CHECKING:
    from convert.job import Options
    from edge_seg.bundle import Bundle

__all__ = ["RECIPES", "convert", "find_recipe"]


def convert(source: Path, recipes: Sequence[str], out: Path, options: Options | None = None) -> list[Bundle]:
    """Makes a bundle of each recipe from the run in ``source``: in ``out``, or in ``out/<recipe>`` for several.

    Raises :class:`EdgeSegError`: UsageError for an unknown recipe or a destination that holds something else, RunError
    for a run that can't be used, ConversionError when a stage fails. Then nothing is written.
    """
    from convert.job import Options, run_job
    from convert.pipeline import make_bundles
    from edge_seg.bundle import open_bundle

    made = make_bundles(run_job(source, options or Options()), [find_recipe(name) for name in recipes], out)
    return [open_bundle(bundle.folder) for bundle in made]
