import pytest

from ppcls.config.source import parse
from ppcls.config.tree import plain
from ppcls.errors import ConfigError


def test_every_value_knows_its_line():
    tree = parse("a:\n  b: 1\n  c:\n    - x: 2\n    - y\n", "r.yaml")
    assert plain(tree) == {"a": {"b": 1, "c": [{"x": 2}, "y"]}}
    assert tree.value["a"].value["b"].origin == "r.yaml:2"
    assert tree.value["a"].value["c"].value[0].value["x"].origin == "r.yaml:4"
    assert tree.value["a"].value["c"].value[1].origin == "r.yaml:5"


def test_numbers_arithmetic_and_quotes():
    text = "eps: 1e-8\nlist: [1.0/255.0, 1e-3, '1e-3', \"3\"]\ndate: 2024-99-01\nblock: |\n  5\n"
    values = plain(parse(text, "r"))
    assert values["eps"] == 1e-8
    assert values["list"] == [1 / 255, 1e-3, "1e-3", "3"]
    assert values["block"] == "5\n"


def test_anchors_and_merge_keys():
    values = plain(parse("base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  y: 3\nsame: *b\n", "r"))
    assert values["own"] == {"x": 1, "y": 3}
    assert values["same"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("a: 1\nb: 2\na: 3\n", "r:3", "'a' is given twice"),
        ("a: [1, 2\nb: 3\n", "r:2", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "r:1", "tag"),
        ("a: !x 1\n", "r:1", "tag"),
        ("a: &a [*a]\n", "r:1", "contains itself"),
        ("\n\n? [1, 2]\n: 3\n", "r:3", "a key must be a word"),
        ("a:\n\t- 1\n", "r:2", "not valid YAML"),
    ],
)
def test_mistakes_name_the_line(text, where, what):
    with pytest.raises(ConfigError) as caught:
        parse(text, "r")
    assert where in str(caught.value)
    assert what in str(caught.value)


def test_empty_document_is_an_empty_mapping():
    assert plain(parse("# nothing\n", "r")) == {}
