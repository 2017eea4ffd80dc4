"""What several commands are tested with."""

import shutil

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


@pytest.fixture
def spoiled(photos):
    """Return class folders with two copies, a near copy, a picture in both classes and a broken one."""
    shutil.copy(photos / "cat" / "00.jpg", photos / "cat" / "copy.jpg")
    near = cv2.resize(cv2.imread(str(photos / "cat" / "01.jpg")), None, fx=0.9, fy=0.9)
    cv2.imwrite(str(photos / "cat" / "near.jpg"), near, [1, 80])
    shutil.copy(photos / "cat" / "02.jpg", photos / "dog" / "cat.jpg")
    again = cv2.resize(cv2.imread(str(photos / "dog" / "30.jpg")), None, fx=0.9, fy=0.9)
    cv2.imwrite(str(photos / "cat" / "dog again.jpg"), again, [1, 80])
    data = (photos / "dog" / "20.jpg").read_bytes()
    (photos / "dog" / "cut.jpg").write_bytes(data[: len(data) // 2])
    return photos
