"""A self-contained model that resizes and crops, and pictures, for the examples in other languages."""

import pytest
import yaml
from PIL import Image

from tests.helpers.command_line import run_ppcls
from tests.helpers.images import photo

# As recipes for ImageNet have it.
_RESIZE = [
    {"ResizeImage": {"resize_short": 20, "interpolation": "bicubic", "backend": "pil"}},
    {"CropImage": {"size": 16}},
]


@pytest.fixture(scope="session")
def self_contained(models):
    """Return the path of a model that takes pixels."""
    recipe = yaml.safe_load((models / "recipe.yaml").read_text())
    ops = recipe["DataLoader"]["Eval"]["dataset"]["transform_ops"]
    ops[1:1] = _RESIZE
    (models / "example.yaml").write_text(yaml.safe_dump(recipe))
    changes = ("Global.pretrained_model=out/best_model", "Global.save_inference_dir=example")
    run_ppcls("export", "-c", "example.yaml", "--self-contained", "-o", *changes, cwd=models)
    return models / "example" / "inference_self_contained.onnx"


@pytest.fixture(scope="session")
def pictures(digits, tmp_path_factory):
    """Return the paths of a digit, and of a photo as PNG and as JPEG that is to be turned by its EXIF orientation."""
    folder = tmp_path_factory.mktemp("pictures")
    image = Image.fromarray(photo())
    image.save(folder / "photo.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    image.save(folder / "photo.jpg", exif=turned, quality=92)
    return [digits / "val" / "000.png", folder / "photo.png", folder / "photo.jpg"]
