import pytest

from ppcls.config.overrides import apply, read
from ppcls.config.source import parse
from ppcls.config.tree import plain
from ppcls.errors import ConfigError


def value_of(text):
    path, node = read(text)
    return path, plain(node)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=false", False),
        ("a.b=null", None),
        ("a.b=None", None),
        ("a.b=", None),
        ("a.b=1e-3", 1e-3),
        ("a.b=[1, 2]", [1, 2]),
        ("a.b={x: 1.0/4}", {"x": 0.25}),
        ("a.b=x=y", "x=y"),
        ("a.b='12'", "12"),
        ('a.b="null"', "null"),
        ("a.b=os", "os"),
        ("a.b=exit()", "exit()"),
        ("a.b=*.jpg", "*.jpg"),
        ("a.b=C: is a drive # really", "C: is a drive # really"),
        ("a.b=!!python/name:os.system", "!!python/name:os.system"),
        ("a.b=@x", "@x"),
        (" a.b = 3 ", 3),
    ],
)
def test_values_have_yaml_types(text, value):
    path, got = value_of(text)
    assert path == ["a", "b"]
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize("text", ["a.b", "=3", "a..b=3", ".a=3", "a.b=[1, 2", "a.b='x"])
def test_malformed_overrides_are_named(text):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert f"-o {text}" in str(caught.value)


RECIPE = "Global: {epochs: 5}\nops:\n  - DecodeImage: {to_rgb: true}\n  - CropImage: {size: 224}\nempty:\n"


def changed(*texts):
    tree, problems = apply(parse(RECIPE, "r.yaml"), texts)
    return plain(tree), problems


def test_positions_new_keys_and_order():
    values, problems = changed(
        "ops.1.CropImage.size=32", "Global.seed=1", "Global.epochs=7", "Global.epochs=8", "empty.x.y=2"
    )
    assert problems == []
    assert values["ops"] == [{"DecodeImage": {"to_rgb": True}}, {"CropImage": {"size": 32}}]
    assert values["Global"] == {"epochs": 8, "seed": 1}
    assert values["empty"] == {"x": {"y": 2}}


def test_all_impossible_overrides_are_reported():
    values, problems = changed("ops.7.CropImage.size=1", "ops.CropImage.size=1", "Global.epochs.x=1", "Global.epochs=9")
    assert values["Global"]["epochs"] == 9
    assert "positions 0 to 1" in problems[0]
    assert "did you mean '1.CropImage'" in problems[1]
    assert "Global.epochs is 5" in problems[2]


def test_an_override_is_the_origin_of_its_value():
    tree, _ = apply(parse(RECIPE, "r.yaml"), ["Global.epochs=[1, 2]"])
    assert tree.value["Global"].value["epochs"].value[1].origin == "-o Global.epochs=[1, 2]"
    assert tree.value["ops"].origin == "r.yaml:2"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(3,32,32)", [3, 32, 32]),
        ("(3, 32, 32)", [3, 32, 32]),
        ("(0.08, 1e0)", [0.08, 1.0]),
        ("(5,)", [5]),
        ("((1, 2), (3, 4))", [[1, 2], [3, 4]]),
        ("(1 + 2) * 3", 9),
        ("(a, b)", "(a, b)"),
        ("run (1, 2)", "run (1, 2)"),
    ],
)
def test_tuples_of_numbers_are_lists(text, value):
    values, problems = changed(f"Global.x={text}")
    assert (values["Global"]["x"], problems) == (value, [])


def test_a_broken_tuple_is_said():
    _, problems = changed("Global.x=(1, 2")
    assert problems == []
    _, problems = changed("Global.x=(1, (2)")
    assert "-o Global.x=(1, (2)" in problems[0]
