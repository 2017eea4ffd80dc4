"""Frozen parts of a model."""

import numpy as np
import pytest

from ppcls.engine import freezing
from ppcls.errors import ConfigError
from ppcls.weights import restricted_load
from tests.helpers.models import small_convmixer


def test_frozen_parts_stay_and_the_rest_learns(recipe, run):
    weights = recipe.parent / "out" / "latest.pdparams"
    run("train", "-c", recipe, "-o", "Global.epochs=1", "Global.output_dir=first")
    start_weights = restricted_load(recipe.parent / "first" / "latest.pdparams")
    changes = ("Global.pretrained_model=first/latest", "Global.epochs=1", "Global.freeze=[stem, blocks.*.depthwise]")
    done = run("train", "-c", recipe, "-o", *changes)
    assert "frozen: 1,200 parameters, in stem, blocks.*.depthwise" in done.stderr
    trained = restricted_load(weights)
    for name, array in trained.items():
        frozen = name.startswith("stem") or ".depthwise." in name
        assert np.array_equal(array, start_weights[name]) == frozen, name


def test_what_freezing_matches():
    model = small_convmixer()
    freezing.freeze(model, ["blocks.1", "stem.conv"])
    free = {name for name, parameter in model.named_parameters() if not parameter.stop_gradient}
    assert not any(name.startswith(("blocks.1.", "stem.conv.")) for name in free)
    assert {"stem.norm.weight", "blocks.0.pointwise.conv.weight", "head.bias"} <= free
    model.train()
    freezing.keep_frozen_in_eval(model, ["blocks.1", "stem.conv"])
    assert not model.blocks[1].depthwise.norm.training
    assert model.blocks[0].depthwise.norm.training
    assert sum(freezing.count(model).values()) == sum(
        int(p.size) for n, p in model.named_parameters() if n.rsplit(".", 1)[-1] not in ("_mean", "_variance")
    )
    with pytest.raises(ConfigError, match=r"Global.freeze\[0\]: this model has no part 'stages.0' .*blocks.0"):
        freezing.freeze(small_convmixer(), ["stages.0"])


def test_nothing_left_to_train(recipe, run):
    done = run("train", "-c", recipe, "-o", "Global.freeze=[stem, blocks, head]", code=2)
    assert "every parameter is frozen" in done.stderr
