"""Names: every naming of every family has an inverse, and the layout of projections is detected."""

import re

import numpy as np
import pytest

from ppcls.arch import BACKBONES, list_models, spec
from ppcls.errors import WeightsError
from ppcls.weights import NameScheme, create_model, load_weights
from ppcls.weights.names import NAME_SCHEMES, name_schemes_of
from tests.goldens import compare

REFERENCE = compare.reference()
# The cheapest variant of each family: the names do not depend on the widths.
SMALLEST = sorted({spec(n).family: n for n in sorted(list_models(), key=lambda n: -spec(n).params)}.values())
CASES = [(name, naming) for name in SMALLEST for naming in NAME_SCHEMES[BACKBONES[spec(name).family].target]]


def arrays_of(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(("name", "naming"), CASES, ids=lambda v: getattr(v, "source", v))
def test_every_naming_has_an_inverse(name, naming):
    names = list(create_model(name, class_num=3).state_dict())
    theirs = naming.restore(names)
    assert list(theirs) == names
    assert [naming.rename(t) for t in theirs.values()] == names
    assert naming.coverage(list(theirs.values())) == 1
    assert not any(naming.drops(t) for t in theirs.values())


@pytest.mark.parametrize("entry", [entry for entry in REFERENCE if entry.split("@")[0] in list_models()])
def test_the_reference_names_are_restored(entry):
    state = list(REFERENCE[entry]["state"])
    backbone = BACKBONES[spec(entry.split("@")[0]).family].target
    naming = next(n for n in NAME_SCHEMES[backbone] if n.torch and n.coverage(state) == 1)
    weights = [name for name in state if not naming.drops(name)]
    restored = naming.restore([naming.rename(name) for name in weights])
    assert list(restored.values()) == weights


def test_rules_have_inverses():
    naming = NameScheme(
        "x",
        torch=True,
        rules=[
            (r"a\.(\d+)\.b-(\w+)\.(weight|bias|_mean)", r"\2.c.\1.\3"),
            (r"twice\.(\w+)", r"t.\1.\1"),
            (r"same\.\d+", None),
            (r"lost\.(\w+)\.(\w+)", r"l.\1"),
            (r"any\d\.(\w+)", r"n.\1"),
        ],
        inverse=[(r"n\.(\w+)", lambda m, names: f"any{len(names)}.{m[1]}")],
    )
    ours = ["p.c.3.weight", "q.c.12._mean", "t.u.u", "same.7", "n.w"]
    theirs = ["a.3.b-p.weight", "a.12.b-q.running_mean", "twice.u", "same.7", "any5.w"]
    assert list(naming.restore(ours).values()) == theirs
    assert [naming.rename(name) for name in theirs] == ours
    for name in ("l.x", "unknown", "t.u.v"):
        with pytest.raises(WeightsError, match=f"x: has no name for {re.escape(name)}"):
            naming.restore([name])


def tiny(**arguments):
    return create_model("ConvMixer", **{"dim": 8, "depth": 1, "patch_size": 4, "class_num": 5, **arguments})


@pytest.mark.parametrize("source", ["timm", "locuslab/convmixer"])
@pytest.mark.parametrize("class_num", [5, 8])
@pytest.mark.parametrize("buffers", ["torch", "paddle"])
@pytest.mark.parametrize("layout", ["torch", "paddle"])
def test_transposed_projections(source, class_num, buffers, layout):
    """Ports to Paddle keep PyTorch's names and transpose the projections."""
    model, other = tiny(class_num=class_num), tiny(class_num=class_num)
    naming = next(naming for naming in name_schemes_of(model) if naming.source == source)
    weights = arrays_of(model)
    names = naming.restore(list(weights))
    if layout == "torch":
        weights["head.weight"] = weights["head.weight"].T
    state = {names[ours]: array for ours, array in weights.items()}
    if buffers == "paddle":
        state = {n.replace("running_mean", "_mean").replace("running_var", "_variance"): a for n, a in state.items()}
    if class_num == 8 and buffers != layout:
        return  # a square projection: the buffers' names decide, and say the other
    report = load_weights(other, state)
    assert report.naming == source + (", Paddle's layout," if layout == "paddle" else "")
    for name, array in arrays_of(model).items():
        np.testing.assert_array_equal(arrays_of(other)[name], array)


def test_an_undecidable_layout_is_an_error():
    model = tiny(class_num=8)
    naming = next(naming for naming in name_schemes_of(model) if naming.source == "timm")
    names = naming.restore(list(model.state_dict()))
    state = {names[ours]: array for ours, array in arrays_of(model).items()}
    state = {name: array for name, array in state.items() if "running" not in name}
    with pytest.raises(WeightsError, match=r"1 square, and nothing tells whether they are \[in, out\].*: head.weight"):
        load_weights(model, state)
