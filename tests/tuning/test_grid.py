"""Points of a sweep."""

import pytest

from ppcls.config import overrides
from ppcls.config.tree import plain
from ppcls.errors import ConfigError
from ppcls.tuning import grid


def test_all_combinations():
    axes = grid.read_axes(["Optimizer.lr.learning_rate=[1e-4, 1e-3]", "Arch.name=[ConvMixer, gMLP_S16]"])
    assert grid.all_points(axes) == [
        {"Optimizer.lr.learning_rate": rate, "Arch.name": name}
        for rate in (1e-4, 1e-3)
        for name in ("ConvMixer", "gMLP_S16")
    ]


@pytest.mark.parametrize(
    "value", [1, 1.0, 1e-5, True, None, "text", "true", "1e-3", "with: colon", "", " x", [1, 2], {"a": [1.5, None]}]
)
def test_a_value_is_read_back_as_it_is(value):
    """What a command shows is what it means."""
    (text,) = grid.as_changes({"Key": value})
    path, node = overrides.read(text)
    assert (path, plain(node), type(node.value)) == (["Key"], value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Global.epochs=3", "as a list"),
        ("Global.epochs=[]", "as a list"),
        ("Global.epochs=[3, 3]", "3 is given twice"),
        ("Global.epochs", "Section.key=value"),
        ("A=log_uniform(1, 2)", "did you mean 'loguniform'"),
        ("A=uniform(2, 1)", "must be below"),
        ("A=loguniform(0, 1)", "above 0"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(ConfigError, match=message):
        grid.read_axes([text])


def test_a_key_stands_once():
    with pytest.raises(ConfigError, match="is given twice"):
        grid.read_axes(["A=[1]", "A=[2]"])


def test_a_range_needs_random():
    with pytest.raises(ConfigError, match="--random"):
        grid.all_points(grid.read_axes(["A=uniform(0, 1)"]))


def test_random_points_are_different_and_repeat():
    axes = grid.read_axes(["Rate=loguniform(1e-4, 1e-2)", "Depth=[2, 4]", "Drop=uniform(0, 0.3)"])
    points = grid.random_points(axes, 40, seed=1)
    assert points[:5] == grid.random_points(axes, 5, seed=1)
    assert points[:5] != grid.random_points(axes, 5, seed=2)
    rates = sorted(point["Rate"] for point in points)
    assert 1e-4 <= rates[0] < 3e-4
    assert 3e-3 < rates[-1] <= 1e-2
    assert 8 < sum(rate < 1e-3 for rate in rates) < 32  # uniform in the logarithm: half of them
    assert {point["Depth"] for point in points} == {2, 4}


def test_random_points_end_with_the_grid():
    axes = grid.read_axes(["A=[1, 2]", "B=[1, 2]"])
    assert len(grid.random_points(axes, 4, seed=0)) == 4
    with pytest.raises(ConfigError, match="only 4 different points"):
        grid.random_points(axes, 5, seed=0)


def test_names_of_folders():
    point = {"Optimizer.lr.learning_rate": 1e-3, "Arch.name": "ConvMixer"}
    assert grid.point_name(point) == "learning_rate=0.001,name=ConvMixer"
    assert grid.point_name({"DataLoader.Train.sampler.batch_size": 8, "DataLoader.Eval.sampler.batch_size": 4}) == (
        "Train.sampler.batch_size=8,Eval.sampler.batch_size=4"
    )
    first, second = (grid.point_name({"Metric.Eval": [{"TopkAcc": {"topk": [k]}}]}) for k in (1, 2))
    assert first != second
    assert "/" not in grid.point_name({"Global.pretrained_model": "a/b/c"})
    assert len(grid.point_name({"Global.pretrained_model": "x" * 300})) <= 80
