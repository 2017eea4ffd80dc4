"""What the resizing of an evaluation does to a trained model: top-1 and loss for each library and interpolation.

    python benchmarks/resize_backends.py RECIPE WEIGHTS [-o KEY=VALUE ...]

The recipe's evaluation is repeated with ``ResizeImage`` done by OpenCV (bilinear, bicubic, area) and by Pillow
(bilinear, bicubic); everything else stays as the recipe has it. It is worth doing with images that are larger than the
network's: where nothing is made smaller, the libraries agree. "recipe" marks the row that is the recipe's own. Prints
one JSON object a row, as soon as it is there.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone works without being installed

import ppcls

ROWS = (("cv2", "bilinear"), ("cv2", "bicubic"), ("cv2", "area"), ("pil", "bilinear"), ("pil", "bicubic"))


def main() -> int:
    """Evaluate with each; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("weights", help="as Global.pretrained_model")
    parser.add_argument("-o", nargs="*", default=[], dest="changes", help="changes of the recipe")
    options = parser.parse_args()
    changes = [*options.changes, f"Global.pretrained_model={options.weights}"]
    config = ppcls.load_config(options.recipe, changes)
    ops = config.DataLoader.Eval.dataset.transform_ops if config.DataLoader.Eval is not None else []
    indices = [index for index, op in enumerate(ops) if "ResizeImage" in op]
    if len(indices) != 1:
        parser.error(f"{options.recipe}: DataLoader.Eval has {len(indices)} ResizeImage in its transform_ops, not one")
    recipe_resize: Dict[str, Any] = ops[indices[0]]["ResizeImage"]
    for backend, interpolation in ROWS:
        key = f"DataLoader.Eval.dataset.transform_ops.{indices[0]}.ResizeImage"
        row = [f"{key}.backend={backend}", f"{key}.interpolation={interpolation}"]
        values = ppcls.evaluate(ppcls.load_config(options.recipe, [*changes, *row]))
        used = (recipe_resize.get("backend") or "cv2", recipe_resize.get("interpolation") or "bilinear")
        result = {"backend": backend, "interpolation": interpolation, "top1": values["top1"], "loss": values["loss"]}
        print(json.dumps({**result, "recipe": used == (backend, interpolation)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
