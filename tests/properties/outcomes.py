"""What the toolkit says about a world: the class of every picture, by its name."""

import contextlib
import functools
import logging
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import yaml

import ppcls
from ppcls.data.datasets import Classes
from ppcls.data.inspection.splitting import open_source, split_dataset
from ppcls.data.packing import PackOptions, pack
from ppcls.engine import checks, class_count, data, label_names
from ppcls.engine.inspection import check_data
from ppcls.errors import PpclsError
from tests.properties import pictures
from tests.properties.mutations import EITHER, ERROR, MUTATIONS, SAME
from tests.properties.worlds import write_recipe, write_side


@contextlib.contextmanager
def quiet_folder():
    """Give a folder that is removed afterwards, and keep the log to itself."""
    folder = Path(tempfile.mkdtemp(prefix="world-"))
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield folder
    finally:
        logging.disable(before)
        shutil.rmtree(folder, ignore_errors=True)


def write(folder, world, mutation="nothing", arch="ConvMixer"):
    """Write a world with its mutation; return the recipe's path, both sides, and what must follow of it."""
    train = write_side(folder / "train", world, world.train, 0)
    evaluation = write_side(folder / "val", world, world.evaluation, 100)
    change = MUTATIONS[mutation]
    expected = change.apply(world, train if change.of_training else evaluation)
    return write_recipe(folder / "recipe.yaml", world, train, evaluation, arch), train, evaluation, expected


def identity(classes, label):
    """Return the name of a class id, else its label as text."""
    if classes.names is not None:
        return classes.names[label]
    return str(label if classes.labels is None else classes.labels[label])


def classes_of_pictures(config):
    """Return, for both sides, the class of each picture by its colour and by the loader's labels.

    They are opened as training opens them.

    Raises:
        PpclsError: the toolkit refuses the data.
    """
    config, train = class_count.for_training(config)
    train = train or data.open_dataset(config, "Train")
    checks.require_class_count(config, train)
    classes = Classes.of(train)
    align = functools.partial(label_names.match_classes, config, classes, "DataLoader.Train")
    with contextlib.ExitStack() as stack:
        loaders = [stack.enter_context(data.build_loader(config, "Train", train))]
        loaders.append(stack.enter_context(data.build_loader(config, "Eval", align=align)))
        return [
            [
                (colour, identity(classes, int(label)))
                for batch in loader.epoch(0)
                for colour, label in zip(pictures.colour_of(np.asarray(batch.images)).tolist(), batch.labels)
            ]
            for loader in loaders
        ]


def true_classes(world, files):
    """Return the class of each picture of a side, by its colour and by its name."""
    return [(colour, name_of(world, files, colour)) for colour in files.entries.values()]


def name_of(world, files, colour):
    """Return the name of a picture's class."""
    if colour < len(world.names):
        return world.names[colour]
    return files.names.get(files.labels[colour], str(files.labels[colour]))


def check_world_of_data(world, mutation="nothing"):
    """Assert that loaders, ``check-data`` and ``split-data`` know every picture's class, or refuse the data.

    Returns:
        "same", "error", or None where the mutation does nothing.
    """
    with quiet_folder() as folder:
        path, train, evaluation, expected = write(folder, world, mutation)
        if expected is None:
            return None
        try:
            config = ppcls.load_config(path)
            found = [sorted(side) for side in classes_of_pictures(config)]
            outcome = SAME
        except PpclsError:
            config = found = None
            outcome = ERROR
        if outcome == SAME:
            truth = [sorted(true_classes(world, side)) for side in (train, evaluation)]
            assert found == truth, f"{mutation}: {found} is not {truth}"
        assert expected in (EITHER, outcome), f"{mutation}: {outcome} instead of {expected}"
        _assert_check_data_agrees(path, folder / "report", outcome, {} if evaluation.listed else evaluation.unused)
        if not evaluation.listed:
            _check_split(folder, evaluation, outcome)
        if outcome == SAME:
            _check_shards(path, world, train, evaluation)
        return outcome


def _assert_check_data_agrees(path, target, outcome, unused):
    """Assert that ``check-data`` refuses what training refuses, and lists the files that are not used."""
    try:
        report = check_data(ppcls.load_config(path), target, workers=1)
    except PpclsError:
        report = {"ok": False}
    assert report["ok"] == (outcome == SAME), f"check-data disagrees with {outcome}: {report.get('problems')}"
    if outcome == SAME:
        listed = {kind: report["counts"].get(kind, 0) for kind in ("hidden", "no_images", "outside_folders")}
        assert listed == {**dict.fromkeys(listed, 0), **unused}


def _check_split(folder, files, outcome):
    """Assert that the lists of ``split-data`` name each picture's folder."""
    root, lists = files.root, folder / "lists"
    try:
        result = split_dataset(open_source(root), lists, 0.4, 0, replace=False, workers=1)
    except PpclsError:
        counts = Counter(path.partition("/")[0] for path in files.entries)
        divisible = len(counts) > 1 and max(counts.values()) > 1
        assert outcome == ERROR or not divisible, "split-data refuses what training reads"
        return
    listed = {}
    for name in ("train_list.txt", "val_list.txt"):
        if not (lists / name).read_text(encoding="utf-8"):
            continue
        section = {"name": "ImageNetDataset", "image_root": str(root), "cls_label_path": str(lists / name)}
        dataset = data.build_dataset(section, train=True)
        for index in range(len(dataset)):
            listed[str(Path(dataset.describe(index)).relative_to(root))] = dataset.class_names[dataset.label(index)]
    left_out = len(result["left_out"])
    assert left_out == 0 or outcome == ERROR, result["left_out"]
    assert {path: path.partition("/")[0] for path in files.entries if path in listed} == listed
    assert len(listed) + left_out == len(files.entries), result


def _check_shards(path, world, train, evaluation):
    """Assert that shards that ``pack-data`` makes of both sides have the same classes; it knows no relabel."""
    if any(files.side.relabel or files.arguments for files in (train, evaluation)):
        return
    folder = path.parent / "shards"
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    for side, files in (("Train", train), ("Eval", evaluation)):
        given = {"list_file": str(files.root / "list.txt"), "delimiter": files.side.delimiter} if files.listed else {}
        pack(PackOptions(str(files.root), shard_samples=4, **given), folder / side, workers=1)
        dataset = recipe["DataLoader"][side]["dataset"]
        section = {"name": "ShardDataset", "image_root": str(folder / side), "transform_ops": dataset["transform_ops"]}
        recipe["DataLoader"][side]["dataset"] = section
    path.write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    found = [sorted(side) for side in classes_of_pictures(ppcls.load_config(path))]
    assert found == [sorted(true_classes(world, files)) for files in (train, evaluation)], f"shards: {found}"
