"""Recipes by name."""

from __future__ import annotations

import pytest

from convert.recipe import RECIPES, find_recipe, parse
from edge_seg.errors import UsageError


def test_every_host_check_is_a_recipe_that_this_host_runs() -> None:
    for recipe in RECIPES.values():
        by = find_recipe(recipe.host_check)
        assert by.host_check == by.name
        other = recipe.checked_by()
        assert (other.name, other.graphs) == (by.name, recipe.graphs)
        assert other.checked_by() == other


def test_several_recipes_are_given_with_commas() -> None:
    assert [recipe.name for recipe in parse("cpu-fp32, arm-fp32")] == ["cpu-fp32", "arm-fp32"]


@pytest.mark.parametrize("names", ["arm-fp64", "arm-fp32,", ""])
def test_an_unknown_recipe_lists_the_choices(names: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(names)
    assert all(name in raised.value.remedy for name in RECIPES)


def test_a_recipe_is_named_once() -> None:
    with pytest.raises(UsageError, match="twice"):
        parse("arm-fp32,arm-fp32")


def test_every_recipe_says_what_it_costs_and_needs() -> None:
    for recipe in RECIPES.values():
        assert all((recipe.summary, recipe.costs, recipe.needs))
        assert recipe.engine != "paddle-lite" or "extra" in recipe.requires
        # Rounded weights are vouched for by the same weights; half precision can't be computed on this host.
        assert recipe.precision in (find_recipe(recipe.host_check).precision, "fp16")
