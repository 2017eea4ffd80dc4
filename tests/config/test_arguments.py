"""The one check of constructor arguments."""

from typing import Any, Dict, List, Literal, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import pytest

from ppcls.errors import ConfigError
from ppcls.registry import Registry, suggest


class Component:
    def __init__(
        self,
        count: int = 1,
        rate: float = 0.0,
        flag: bool = False,
        text: str = "",
        size: Union[int, Sequence[int]] = 1,
        mode: Literal["a", "b"] = "a",
        weights: Union[Literal["balanced"], Sequence[float], None] = None,
        pair: Optional[Tuple[int, float]] = None,
        table: Optional[Mapping[str, float]] = None,
        nested: Sequence[Sequence[float]] = (),
        anything: Any = None,
        unknown: Optional[np.ndarray] = None,
        plain=None,
    ):
        self.given = dict(locals())


def build(**arguments):
    registry = Registry("part")
    registry.register(Component)
    return registry.build("Component", arguments).given


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("count", 1e2, 100),
        ("count", np.int64(3), 3),
        ("rate", 1, 1.0),
        ("rate", np.float32(0.5), 0.5),
        ("size", 3, 3),
        ("size", [3, 4.0], [3, 4]),
        ("size", (3, 4), (3, 4)),
        ("mode", "b", "b"),
        ("weights", "balanced", "balanced"),
        ("weights", np.array([1, 2]), [1.0, 2.0]),
        ("weights", None, None),
        ("pair", [1, 2], (1, 2.0)),
        ("table", {"a": 1}, {"a": 1.0}),
        ("nested", [[1, 0.5], []], [[1.0, 0.5], []]),
        ("anything", object, object),
        ("unknown", "left to the constructor", "left to the constructor"),
        ("plain", [1, "x"], [1, "x"]),
    ],
)
def test_values_get_the_types_of_the_annotations(name, value, result):
    found = build(**{name: value})[name]
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", 2.5, "count: must be a whole number, not 2.5"),
        ("count", True, "count: must be a whole number, not True"),
        ("rate", "x", "rate: must be a number, not 'x'"),
        ("rate", float("inf"), "rate: must be a finite number, not inf"),
        ("flag", 1, "flag: must be true or false, not 1"),
        ("text", 5, "text: must be text, not 5; quote it to make it text"),
        ("size", "x", "size: must be a whole number or a list, not 'x'"),
        ("size", [3, "x"], "size.1: must be a whole number, not 'x'"),
        ("size", {}, "size: must be a whole number or a list, not a mapping"),
        ("mode", "c", "mode: must be 'a' or 'b', not 'c'"),
        ("weights", "even", "weights: must be 'balanced' or a list or null, not 'even'"),
        ("pair", [1], "pair: must be a list of 2 or null, not a list"),
        ("table", {"a": "x"}, "table.a: must be a number, not 'x'"),
        ("nested", [[1, "x"]], "nested.0.1: must be a number, not 'x'"),
        ("cuont", 1, "unknown argument 'cuont'; did you mean 'count'? (allowed: count, rate,"),
    ],
)
def test_wrong_values_are_named(name, value, message):
    with pytest.raises(ConfigError) as caught:
        build(**{name: value})
    assert str(caught.value).startswith(f"Component: {message}")


def test_all_mistakes_are_said_at_once():
    registry = Registry("part")
    registry.register(lambda first, second: None, name="Needs")
    with pytest.raises(
        ConfigError, match=r"unknown argument 'third' \(allowed: .*missing argument first; missing argument second"
    ):
        registry.build("Needs", {"third": 1})


def test_annotations_that_cannot_be_resolved_take_any_value():
    registry = Registry("part")

    def component(size: "Nowhere", more: "List[Dict[str, int]]" = ()):  # noqa: F821
        return size

    registry.register(component)
    assert registry.build("component", {"size": "x"}) == "x"
    with pytest.raises(ConfigError, match=r"more\.0\.a: must be a whole number, not 'x'"):
        registry.build("component", {"size": "x", "more": [{"a": "x"}]})


@pytest.mark.parametrize(
    ("word", "allowed", "suggested"),
    [
        ("epoch", ["epochs", "eval_interval"], "epochs"),
        ("Momentum2", ["Momentum"], "Momentum"),
        ("Imagenet", ["ImageNetDataset", "ImageFolder"], "ImageNetDataset"),
        ("alfa", ["alpha", "prob"], "alpha"),
        ("sise", ["size", "scale"], "size"),
        ("use_dali", ["use_visualdl", "use_sync_bn"], None),
        ("train_mode", ["pretrained_model", "eval_mode"], None),
        ("last_epoch", ["by_epoch", "warmup_epoch"], None),
        ("clip_grad", ["clip_norm", "clip_value"], None),
        ("SupConLoss", ["CELoss", "FocalLoss"], None),
    ],
)
def test_only_what_may_have_been_meant_is_suggested(word, allowed, suggested):
    text = suggest(word, allowed)
    assert (f"did you mean {suggested!r}" in text) if suggested else ("did you mean" not in text)
    assert ", ".join(allowed) in text
