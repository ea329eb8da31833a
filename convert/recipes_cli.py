"""The command ``edge-seg recipes``."""

from __future__ import annotations

import dataclasses

import click

from convert.recipe import RECIPES, Recipe, find
from edge_seg.options import echo_json, json_option


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]…")
@json_option
def recipes(names: tuple[str, ...], as_json: bool) -> None:
    """List what `edge-seg convert --recipe` can make: what for, what it costs, what it needs, what checks it.

    \b
    Examples:
      edge-seg recipes
      edge-seg recipes arm-int8 --json
    """
    chosen = [find(name) for name in names] or list(RECIPES.values())
    if as_json:
        echo_json({"recipes": [_as_json(recipe) for recipe in chosen]})
        return
    for recipe in chosen:
        click.echo(f"{recipe.name}: {recipe.summary}")
        click.echo(f"    costs   {recipe.costs}")
        click.echo(f"    needs   {recipe.needs}")
        click.echo(f"    checked {checked(recipe)}")


def checked(recipe: Recipe) -> str:
    """How this host checks the recipe's bundles, in words."""
    witness = find(recipe.witness)
    if witness is recipe:
        return "by running it here"
    if witness.precision != recipe.precision:
        return f"by its twin {witness.name}, here; {recipe.precision} itself can't be computed here"
    return f"by its twin {witness.name}, here"


def _as_json(recipe: Recipe) -> dict[str, object]:
    plain = dataclasses.asdict(recipe)
    return {**plain, "requires": list(recipe.requires), "checked": checked(recipe)}
