"""Recipes of tests: a tiny model that trains on the digits in less than a second an epoch."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
# A change of a recipe: half of its batches are mixed by one way, half by the other.
MIXED_IMAGES = (
    "DataLoader.Train.dataset.batch_transform_ops=[{OpSampler: {MixupOperator: {alpha: 0.8, prob: 0.5}, "
    "CutmixOperator: {alpha: 1.0, prob: 0.5}}}]"
)


def write_recipe(digits, folder):
    """Write the recipe; everything it makes goes below ``folder``."""
    values = {
        "Global": {
            "epochs": 2,
            "device": "cpu",
            "output_dir": f"{folder}/out",
            "save_inference_dir": f"{folder}/inference",
            "image_shape": [3, 16, 16],
            "print_batch_step": 2,
            "report": False,  # of every run of a test: the tests of the report ask for it
        },
        "Arch": {"name": "ConvMixer", "class_num": 10, "dim": 16, "depth": 2, "kernel_size": 3, "patch_size": 4},
        "Optimizer": {
            "name": "AdamW",
            "weight_decay": 0.01,
            "lr": {"name": "Cosine", "learning_rate": 0.01, "warmup_epoch": 1},
        },
        "DataLoader": {
            "Train": split(digits, "train", [{"Pad": {"padding": 2}}, {"RandCropImageV2": {"size": 16}}], shuffle=True),
            "Eval": split(digits, "val", [], shuffle=False),
        },
        "Metric": {"Train": [{"TopkAcc": {"topk": [1]}}], "Eval": [{"TopkAcc": {"topk": [1, 5]}}]},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def split(digits, name, augmentation, shuffle):
    """Return one side of DataLoader."""
    half = [0.5, 0.5, 0.5]
    normalize = {"scale": "1.0/255.0", "mean": half, "std": half, "order": ""}
    return {
        "dataset": {
            "name": "ImageNetDataset",
            "image_root": str(digits),
            "cls_label_path": f"{digits}/{name}_list.txt",
            "transform_ops": [{"DecodeImage": {}}, *augmentation, {"NormalizeImage": normalize}, {"ToCHWImage": None}],
        },
        "sampler": {"name": "DistributedBatchSampler", "batch_size": 16, "shuffle": shuffle},
        "loader": {"num_workers": 0},
    }


def on_shards(recipe, folder):
    """Change a recipe to train and evaluate on shards of its data; return their folder."""
    from ppcls.data.packing import PackOptions, pack

    values = yaml.safe_load(recipe.read_text())
    for side, prefix in (("Train", "train"), ("Eval", "val")):
        dataset = values["DataLoader"][side]["dataset"]
        settings = PackOptions(dataset["image_root"], dataset.pop("cls_label_path"), prefix=prefix, shard_samples=20)
        pack(settings, folder, workers=1)
        dataset.update(name="ShardDataset", image_root=str(folder), shards=f"{prefix}-*.tar")
    values["DataLoader"]["Train"]["sampler"].update(name="ShardBatchSampler", streams=4, buffer_size=8)
    recipe.write_text(yaml.safe_dump(values))
    return folder


STAGES = [
    {"name": "first"},
    {
        "name": "second",
        "init": "best",
        "override": {
            "Global.epochs": 3,
            "Global.update_freq": 2,
            "Global.image_shape": [3, 20, 20],
            "Optimizer.lr": {"_delete_": True, "name": "ConstLR", "learning_rate": 1e-3},
            "DataLoader.Train.dataset.transform_ops.1.Pad.padding": 4,
            "DataLoader.Train.dataset.transform_ops.2": {"RandCropImageV2": {"size": 20}},
            "DataLoader": {"Eval": {"sampler": {"batch_size": 7}}},
        },
    },
]


def write_staged(digits, folder):
    """Write the recipe with two stages, the second on larger images; everything it makes goes below ``folder``."""
    path = write_recipe(digits, folder)
    values = yaml.safe_load(path.read_text())
    values["Global"]["save_every_minutes"] = 0
    values["Stages"] = STAGES
    path.write_text(yaml.safe_dump(values))
    return path
