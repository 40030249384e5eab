"""Recipes: their values, and what is refused."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from stncourse import FAST_RECIPE, TUTORIAL_RECIPE, Recipe


@pytest.mark.parametrize(
    ("changes", "error", "name"),
    [
        ({"epochs": 0}, ValueError, "epochs"),
        ({"epochs": 1.0}, TypeError, "epochs"),
        ({"batch_size": -1}, ValueError, "batch_size"),
        ({"batch_size": True}, TypeError, "batch_size"),
        ({"optimizer": "adam"}, ValueError, "optimizer"),
        ({"schedule": "cosine"}, ValueError, "schedule"),
        ({"learning_rate": -0.1}, ValueError, "learning_rate"),
        ({"learning_rate": math.nan}, ValueError, "learning_rate"),
        ({"learning_rate": "0.1"}, ValueError, "learning_rate"),
        ({"localization_factor": math.inf}, ValueError, "localization_factor"),
        ({"weight_decay": None}, ValueError, "weight_decay"),
        ({"dropout": 1.5}, ValueError, "dropout"),
        ({"dropout": "0.5"}, ValueError, "dropout"),
        ({"warm_up": 1}, ValueError, "warm_up"),
        ({"warm_up": -0.1}, ValueError, "warm_up"),
        ({"warm_up": None}, ValueError, "warm_up"),
        ({"label_smoothing": 1}, ValueError, "label_smoothing"),
        ({"label_smoothing": -0.1}, ValueError, "label_smoothing"),
        ({"label_smoothing": "some"}, ValueError, "label_smoothing"),
        ({"augment": -1.0}, ValueError, "augment"),
        ({"augment": 10}, ValueError, "augment"),
        ({"augment": "yes"}, ValueError, "augment"),
        ({"localization_until": -0.1}, ValueError, "localization_until"),
        ({"localization_until": 1.1}, ValueError, "localization_until"),
        ({"localization_until": math.nan}, ValueError, "localization_until"),
        ({"localization_until": "half"}, ValueError, "localization_until"),
    ],
)
def test_a_recipe_refuses_wrong_values_and_names_them(changes, error, name):
    with pytest.raises(error, match=f"^{name}: expected"):
        Recipe("wrong", **changes)
    with pytest.raises(error, match=f"^{name}: expected"):
        FAST_RECIPE.but(**changes)


@pytest.mark.parametrize("whole", [np.int64, np.uint8, torch.tensor, np.array])
@pytest.mark.parametrize("real", [np.float32, np.float64, torch.tensor, np.array])
def test_a_recipe_takes_any_kind_of_number_and_keeps_pythons(whole, real):
    numbers = {name: real(0.25) for name in ("learning_rate", "localization_factor", "weight_decay", "dropout")}
    numbers |= {name: real(0.5) for name in ("warm_up", "label_smoothing", "localization_until", "augment")}
    recipe = Recipe("any", whole(2), whole(3), **numbers)
    assert Recipe(**json.loads(json.dumps(asdict(recipe)))) == recipe
    kinds = {name: type(value) for name, value in asdict(recipe).items()}
    assert kinds["epochs"] is kinds["batch_size"] is int
    assert all(kinds[name] is float for name in numbers)


def test_but_changes_a_copy():
    changed = FAST_RECIPE.but(epochs=3, dropout=None)
    assert (changed.epochs, changed.dropout, changed.optimizer) == (3, None, FAST_RECIPE.optimizer)
    assert FAST_RECIPE.epochs == 1
    with pytest.raises(AttributeError):
        FAST_RECIPE.epochs = 2


def test_the_tutorial_recipe_is_the_tutorials():
    recipe = TUTORIAL_RECIPE
    assert (recipe.epochs, recipe.batch_size, recipe.optimizer, recipe.learning_rate) == (20, 64, "sgd", 0.01)
    assert (recipe.localization_factor, recipe.weight_decay, recipe.dropout) == (1, 0, None)
    assert recipe.schedule == "constant"
