"""How far the exports of every variant are from the model that they were exported from, on real images.

Each variant gets random weights, random batch-norm statistics, and a classifier whose logits have a standard deviation
of 3: as peaked as that of a trained one, which the published weights would need a download for. Prints a line of JSON a
variant: the largest difference of a probability between the model, Paddle Inference and ONNX Runtime. With ``--out``,
the lines go to a file, too, and variants that it has already are left out.

Example: python benchmarks/export_differences.py --images photos --out differences.jsonl "ConvMLP*"
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ppcls.utils import environment

environment.prepare()

import numpy as np  # noqa: E402
import paddle  # noqa: E402
import yaml  # noqa: E402

import ppcls  # noqa: E402
from ppcls.arch.registry import spec  # noqa: E402
from ppcls.config.schema import Config  # noqa: E402
from ppcls.data.transforms import build_transforms  # noqa: E402
from ppcls.exporting.options import Options  # noqa: E402
from ppcls.inference.inputs import list_images  # noqa: E402

_LOGITS = 3.0  # standard deviation


def fill(model: paddle.nn.Layer, images: paddle.Tensor) -> None:
    """Give batch norms statistics that they could have been trained to, and the classifier confident answers."""
    rng = np.random.default_rng(0)
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.BatchNorm2D):
            count = layer._mean.shape[0]
            layer._mean.set_value(rng.normal(0, 0.2, count).astype(np.float32))
            layer._variance.set_value(rng.uniform(0.5, 1.5, count).astype(np.float32))
            layer.weight.set_value(rng.uniform(0.5, 1.5, count).astype(np.float32))
            layer.bias.set_value(rng.normal(0, 0.2, count).astype(np.float32))
    model.eval()
    with paddle.no_grad():
        model.head.weight.set_value(rng.normal(size=model.head.weight.shape).astype(np.float32))
        spread = model(images).std(axis=1).mean().item()
        model.head.weight.set_value(model.head.weight * (_LOGITS / spread))


def recipe(name: str, folder: Path, images: Path) -> Path:
    """Write the recipe that exports a variant."""
    known = spec(name)
    size = known.image_size
    normalize = {"mean": list(known.mean), "std": list(known.std), "order": ""}
    transforms = [
        {"DecodeImage": None},
        {"ResizeImage": {"resize_short": int(size / known.crop_pct), "interpolation": "bicubic", "backend": "pil"}},
        {"CropImage": {"size": size}},
        {"NormalizeImage": normalize},
        {"ToCHWImage": None},
    ]
    values = {
        "Global": {
            "image_shape": [3, size, size],
            "pretrained_model": str(folder / "weights"),
            "save_inference_dir": str(folder / "inference"),
        },
        "Arch": {"name": name, "class_num": known.class_num},
        "Infer": {"infer_imgs": str(images), "transforms": transforms},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def prepared(name: str, folder: Path, images: Path) -> Config:
    """Return the recipe that exports a variant to ``folder / "inference"``, with weights for it."""
    config = ppcls.load_config(recipe(name, folder, images))
    paddle.seed(0)
    model = ppcls.create_model(name, class_num=config.Arch.class_num)
    assert config.Infer.transforms is not None
    transforms = build_transforms(config.Infer.transforms)
    shown = [transforms(path.read_bytes(), np.random.default_rng(0)) for path in list_images(images)[:4]]
    fill(model, paddle.to_tensor(np.stack(shown)))
    paddle.save(model.state_dict(), str(folder / "weights.pdparams"))
    return config


def measure(name: str, images: Path, opset: int) -> Dict[str, Any]:
    """Return the differences of one variant."""
    with tempfile.TemporaryDirectory() as temporary:
        report = ppcls.export(prepared(name, Path(temporary), images), Options(onnx=True, opset=opset))
    return {
        "name": name,
        "paddle": report["max_difference"],
        "onnx": report["models"]["inference.onnx"]["max_difference"],
        "images": report["images"],
        "batch_norms": report["batch_norms"],
        "opset": opset,
    }


def main() -> None:
    """Measure the variants that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("patterns", nargs="*", default=["*"], help="names of variants, * and ? allowed (default: all)")
    parser.add_argument("--images", type=Path, default=Path("dataset/digits/val"), help="a folder of images")
    parser.add_argument("--opset", type=int, default=17)
    parser.add_argument("--out", type=Path, help="a file to add the lines to")
    options = parser.parse_args()
    lines = options.out.read_text().splitlines() if options.out and options.out.exists() else []
    done = {json.loads(line)["name"] for line in lines}
    for name in ppcls.list_models():
        if name in done or not any(fnmatch.fnmatch(name, pattern) for pattern in options.patterns):
            continue
        line = json.dumps(measure(name, options.images, options.opset))
        print(line, flush=True)
        if options.out:
            with options.out.open("a") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
