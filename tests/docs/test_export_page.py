"""What docs/export.md tells users to paste into programs without ppcls."""

import re

import cv2
import numpy as np
import pytest

import ppcls
from ppcls.data.transforms import build_transforms
from tests.helpers.recipes import ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)


@pytest.fixture
def pasted(models, digits, tmp_path, monkeypatch, capsys):
    """Return a function that runs the example with a word in it, where its files are; it returns names and output."""
    pytest.importorskip("PIL")
    (tmp_path / "output" / "digits").mkdir(parents=True)
    (tmp_path / "output" / "digits" / "inference").symlink_to(models / "inference")
    picture = cv2.imread(str(digits / "val" / "004.png"))
    cv2.imwrite(str(tmp_path / "photo.jpg"), picture)
    monkeypatch.chdir(tmp_path)

    def run(word):
        (code,) = (block for block in BLOCKS if word in block)
        names = {}
        exec(code, names)
        return names, capsys.readouterr().out.strip()

    return run


@pytest.mark.parametrize(("word", "file"), [("def prepare", "inference"), ("Image.open", "inference_self_contained")])
def test_the_examples_without_ppcls_answer_as_the_predictor(pasted, models, word, file):
    names, printed = pasted(word)
    (expected,) = ppcls.Predictor(models / "inference" / f"{file}.onnx", topk=10).predict("photo.jpg")
    assert printed == expected["label_names"][0]
    scores = np.sort(names["probabilities"][0])[::-1]
    np.testing.assert_allclose(scores, expected["scores"], rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "ops",
    [
        [{"ResizeImage": {"size": 20}}],
        [{"ResizeImage": {"size": [20, 30], "interpolation": "bicubic"}}],
        [{"ResizeImage": {"resize_short": 25, "interpolation": "bilinear"}}, {"CropImage": {"size": 20}}],
        [{"ResizeImage": {"resize_short": 25, "interpolation": "bicubic", "backend": "pil"}}],
        [{"ResizeImage": {"size": 20, "interpolation": "bicubic", "backend": "pil"}}, {"CropImage": {"size": 15}}],
    ],
)
def test_the_example_prepares_images_as_we_do(pasted, ops):
    names, _ = pasted("def prepare")
    ops = [
        {"DecodeImage": None},
        *ops,
        {"NormalizeImage": {"scale": 1 / 255, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], "order": ""}},
        {"ToCHWImage": None},
    ]
    image = np.random.default_rng(0).integers(0, 256, (47, 62, 3), np.uint8)
    expected = build_transforms(ops)(image, np.random.default_rng(0))
    np.testing.assert_allclose(names["prepare"](image, ops), expected, atol=1e-6)
    with pytest.raises(NotImplementedError):
        names["prepare"](image, [{"Pad": {"padding": 1}}])
