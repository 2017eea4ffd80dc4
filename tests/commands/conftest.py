"""A trained checkpoint, as the commands that use one are told of it."""

import pytest


@pytest.fixture
def arguments(trained):
    return ("-c", trained / "recipe.yaml", "-o", f"Global.pretrained_model={trained}/out/best_model")
