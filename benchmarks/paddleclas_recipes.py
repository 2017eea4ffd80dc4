"""Load all recipes of PaddleClas; train, evaluate, infer and export with a sample of them.

    git clone --depth 1 https://github.com/PaddlePaddle/PaddleClas
    python benchmarks/paddleclas_recipes.py PaddleClas/ppcls/configs

Of each recipe only this is changed: the architecture is a tiny ConvMixer (of a ``DistillationModel``, each of its
models), and the data are a few small generated images in the recipe's own list format, one batch for training and four
images for evaluation. To run, also the output folders, the device (CPU), the loader's workers (none) and a callback
that ends training after the first epoch, which is that batch.

Prints one JSON object: how many recipes of each folder load, the reasons of those that do not, and what the sample did.
Exit code 1 if a recipe of the sample fails.
"""

import argparse
import contextlib
import io
import json
import logging
import random
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import cv2
import numpy as np
import yaml

import ppcls
from ppcls import cli
from ppcls.errors import PpclsError

HERE = Path(__file__).resolve().parent
NET = {"name": "ConvMixer", "dim": 16, "depth": 1, "kernel_size": 3, "patch_size": 16}
RUN_ALL = ("quick_start", "PULC")  # folders of which every recipe that loads is run
EVAL_IMAGES = 4
INFER_IMAGE = "0.jpg"


def main() -> int:
    """Run the experiment; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="PaddleClas's ppcls/configs")
    parser.add_argument("--sample", type=int, default=40, help="recipes of ImageNet to run")
    parser.add_argument("--only", help="run the recipes whose path has this in it, and no others")
    options = parser.parse_args()
    if options.folder is None:
        print(json.dumps({"skipped": "give the folder ppcls/configs of a copy of PaddleClas"}))
        return 0
    if not options.folder.is_dir():
        parser.error(f"{options.folder}: no such folder")
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        recipes = {str(path.relative_to(options.folder)): path for path in sorted(options.folder.rglob("*.yaml"))}
        data = Data(Path(temporary))
        started = time.time()
        errors = {name: load_error(path, data) for name, path in recipes.items()}
        report: Dict[str, Any] = {"recipes": len(recipes), "load_seconds": round(time.time() - started, 1)}
        report["loaded"] = count_loaded(errors)
        report["refused"] = count_reasons(errors)
        loaded = [name for name, error in errors.items() if error is None]
        chosen = [name for name in loaded if options.only in name] if options.only else choose(loaded, recipes, options)
        results = {name: run(recipes[name], data, Path(temporary) / "run") for name in chosen}
    failed = {name: failure for name, failure in results.items() if failure is not None}
    report["run"] = {"recipes": len(results), "passed": len(results) - len(failed), "failed": failed}
    print(json.dumps(report, indent=1, ensure_ascii=False))
    return 1 if failed else 0


class Data:
    """Generated images, and lists of them in the formats that recipes name.

    Args:
        folder: where they are written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(0)
        for index in range(8):
            height, width = rng.integers(60, 100, 2)
            image = cv2.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (int(width), int(height)))
            cv2.imwrite(str(folder / f"{index}.jpg"), image)

    def write_list(self, classes: int, images: int, multi_label: bool, delimiter: str) -> Path:
        """Write a list of so many images, and return its path."""
        path = self.folder / f"{classes}_{images}_{multi_label}_{ord(delimiter)}.txt"
        if not path.exists():
            rows = (f"{index % 8}.jpg{delimiter}{_label(index, classes, multi_label)}" for index in range(images))
            path.write_text("\n".join(rows) + "\n")
        return path

    def write_weights(self, arch: Dict[str, Any]) -> Path:
        """Write random weights of an architecture, and return their path."""
        path = self.folder / f"weights_{arch['class_num']}.pdparams"
        if not path.exists():
            import paddle

            arguments = {key: value for key, value in arch.items() if key not in ("name", "pretrained")}
            paddle.save(ppcls.create_model(arch["name"], **arguments).state_dict(), str(path))
        return path


def _label(index: int, classes: int, multi_label: bool) -> str:
    if not multi_label:
        return str(index % min(classes, 8))
    return ",".join(str((index + position) % 2) for position in range(classes))


def changes_of(values: Dict[str, Any], data: Data) -> List[str]:
    """Return the overrides that put our architecture and our data into a recipe."""
    arch = values.get("Arch") or {}
    changes = [f"Arch={_flow(tiny_arch(arch, data))}"]
    for side in ("Train", "Eval"):
        split = (values.get("DataLoader") or {}).get(side) or {}
        dataset = split.get("dataset")
        if not isinstance(dataset, dict):
            continue
        sampler = split.get("sampler") or {}
        images = EVAL_IMAGES if side == "Eval" else int(sampler.get("batch_size") or sampler.get("first_bs") or 8)
        path = data.write_list(
            int(arch.get("class_num") or 1000),
            images,
            dataset.get("name") == "MultiLabelDataset",
            dataset.get("delimiter") or ("\t" if dataset.get("name") == "MultiLabelDataset" else " "),
        )
        changes += [
            f"DataLoader.{side}.dataset.{key}={value}"
            for key, value in (("image_root", data.folder), ("cls_label_path", path))
            if key in dataset
        ]
    return changes


def tiny_arch(arch: Dict[str, Any], data: Data) -> Dict[str, Any]:
    """Return the section ``Arch`` with a tiny network in place of each of PaddleClas's."""
    if arch.get("name") != "DistillationModel":
        return {**NET, "class_num": arch.get("class_num") or 1000}
    frozen = arch.get("freeze_params_list") or [False] * len(arch["models"])
    models = []
    for entry, is_frozen in zip(arch["models"], frozen):
        ((name, model),) = entry.items()
        tiny = {**NET, "class_num": model.get("class_num") or arch.get("class_num") or 1000}
        if is_frozen:
            tiny["pretrained"] = str(data.write_weights(tiny))
        models.append({name: tiny})
    kept = {key: value for key, value in arch.items() if key in ("name", "class_num", "infer_model_name")}
    return {**kept, "freeze_params_list": frozen, "models": models}


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).strip()


def load_error(path: Path, data: Data) -> Optional[str]:
    """Return why a recipe does not load, None if it does."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        ppcls.load_config(path, changes_of(values, data))
    except PpclsError as error:
        return str(error)
    return None


def count_loaded(errors: Dict[str, Optional[str]]) -> Dict[str, str]:
    """Return "how many load / how many there are" of each folder; of ImageNet, Distillation by itself."""
    loaded, total = Counter(), Counter()
    for name, error in errors.items():
        parts = Path(name).parts
        folder = "ImageNet/Distillation" if parts[:2] == ("ImageNet", "Distillation") else parts[0]
        total[folder] += 1
        loaded[folder] += error is None
    return {folder: f"{loaded[folder]} / {total[folder]}" for folder in total}


def count_reasons(errors: Dict[str, Optional[str]]) -> Dict[str, Any]:
    """Return each reason with the number of recipes that have it, and one of them."""
    recipes = defaultdict(list)
    for name, error in errors.items():
        lines = (error or "").splitlines()
        for line in {re.sub(r"^.*?\.yaml:\d+: |\.\d+(?=\.)", "", line.strip()) for line in lines[len(lines) > 1 :]}:
            recipes[line[:200]].append(name)
    ordered = sorted(recipes.items(), key=lambda item: -len(item[1]))
    return {reason: {"recipes": len(names), "such_as": names[0]} for reason, names in ordered}


def choose(loaded: List[str], recipes: Dict[str, Path], options: argparse.Namespace) -> List[str]:
    """Return the recipes to run: of ImageNet a sample that has every trait, of the small folders all."""
    candidates = [name for name in loaded if name.startswith("ImageNet/")]
    traits = {name: set(_traits(yaml.safe_load(recipes[name].read_text(encoding="utf-8")))) for name in candidates}
    sample: List[str] = []
    seen: set = set()
    while len(sample) < min(options.sample, len(candidates)):
        best = max((name for name in candidates if name not in sample), key=lambda name: len(traits[name] - seen))
        if not traits[best] - seen:
            break
        sample.append(best)
        seen |= traits[best]
    others = [name for name in candidates if name not in sample]
    sample += random.Random(0).sample(others, max(0, min(options.sample - len(sample), len(others))))
    return sample + [name for name in loaded if name.startswith(RUN_ALL)]


def _traits(values: Any, place: str = "") -> Iterator[str]:
    """Yield what distinguishes recipes: their keys, and the values that choose something."""
    if isinstance(values, dict):
        for key, value in values.items():
            if (place, key) != ("", "Arch"):
                yield f"{place}.{key}"
                yield from _traits(value, f"{place}.{key}")
    elif isinstance(values, list):
        for value in values:
            yield from _traits(value, place)
    elif isinstance(values, (str, bool)) and "/" not in str(values):
        yield f"{place}={values}"


def run(path: Path, data: Data, folder: Path) -> Optional[Dict[str, str]]:
    """Train one epoch of one batch, evaluate, infer and export; return the step that failed and its output, or None."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    out = folder / re.sub(r"\W", "_", str(path))[-80:]
    loaders = [side for side in ("Train", "Eval") if (values.get("DataLoader") or {}).get(side)]
    common = [
        *changes_of(values, data),
        "Global.device=cpu",
        f"Global.output_dir={out}",
        f"Global.save_inference_dir={out}/inference",
        *(f"DataLoader.{side}.loader.num_workers=0" for side in loaders),
        f"Infer.infer_imgs={data.folder / INFER_IMAGE}",
    ]
    trained = f"Global.pretrained_model={out}/latest"
    callback = ("--import", str(HERE / "_one_epoch.py"))
    for command, arguments in (
        ("train", [*callback, "-o", *common, "Callbacks=[{OneEpoch: {}}]"]),
        ("eval", ["-o", *common, trained]),
        ("infer", ["-o", *common, trained]),
        ("export", ["-o", *common, trained]),
    ):
        code, output = _call([command, "-c", str(path), *arguments])
        if code:
            return {"command": command, "output": output[-1500:]}
    return None


def _call(arguments: List[str]) -> Tuple[int, str]:
    """Run a command in this process; return its exit code and what it wrote."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
        try:
            code = cli.main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
        except Exception:  # noqa: BLE001 a command that fails so is one of the results
            code, _ = 1, written.write(traceback.format_exc())
        finally:
            logging.getLogger("ppcls").handlers.clear()
    return code, written.getvalue()


if __name__ == "__main__":
    sys.exit(main())
