"""A run with its report, which several tests look at."""

import pytest

from tests.helpers.command_line import run_ppcls
from tests.helpers.recipes import MIXED_IMAGES, write_recipe


@pytest.fixture(scope="session")
def reported(digits, tmp_path_factory):
    """Return the folder of a run with its report, trained with mixed images and averaged weights; left as it is."""
    folder = tmp_path_factory.mktemp("reported")
    recipe = write_recipe(digits, folder)
    changes = ("Global.report=true", "Global.epochs=4", MIXED_IMAGES, "EMA.decay=0.9")
    run_ppcls("train", "-c", recipe, "-o", *changes, cwd=folder)
    return folder / "out"
