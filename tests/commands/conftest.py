"""What several commands are tested with."""

import cv2
import pytest

from tests.helpers.images import scene


@pytest.fixture
def arguments(trained):
    return ("-c", trained / "recipe.yaml", "-o", f"Global.pretrained_model={trained}/out/best_model")


@pytest.fixture
def photos(tmp_path):
    """Return class folders of 20 pictures each, in two classes."""
    for number in range(40):
        file = tmp_path / "photos" / ("cat" if number < 20 else "dog") / f"{number:02d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), scene(number))
    return tmp_path / "photos"
