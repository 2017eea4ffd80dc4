"""How trainings on pages are shortened, and nothing else of a command is changed.

A training has one epoch, and one that continues a run four, unless the command names fewer than four itself. One that
is profiled has smaller batches, for enough steps. Stages have one epoch each. No report is written where the page does
not speak of it. `ppcls train FOLDER` gets a learning rate, too, which saves the range test, and `ppcls benchmark`
measures for a quarter of a second.
"""

import re
from pathlib import Path

import yaml

TRAININGS = ("train", "sweep", "cross-validate")
_FEW = 3  # epochs
_CONTINUED = 4  # one more than the run in the world has
_PROFILED = "DataLoader.Train.sampler.batch_size=16"  # by default, steps up to the twentieth are profiled
_SECONDS = "0.25"
_RATE = "Optimizer.lr.learning_rate=0.005"


def shorten(words, folder, has_report=True):
    """Return the arguments of ``ppcls``, shortened.

    Args:
        words: what follows ``ppcls``.
        folder: the working directory.
        has_report: whether trainings write their report.
    """
    command = words[0] if words else ""
    if command == "benchmark" and "--seconds" not in words:
        return [*words, "--seconds", _SECONDS]
    if command not in TRAININGS or {"-h", "--help"}.intersection(words):
        return words
    report = [] if has_report else ["-o", "Global.report=false"]
    if "-c" not in words and "--config" not in words:
        return [*words, *_of_folder(words), *report]
    profiled = [_PROFILED] if any(word.startswith("--profile") for word in words) else []
    return [*words, "-o", f"Global.epochs={_epochs(words)}", *profiled, *_of_stages(words, Path(folder)), *report]


def _epochs(words):
    """Return the number of epochs of a training by a recipe."""
    named = [int(number) for word in words for number in re.findall(r"^Global\.epochs=(\d+)$", word)]
    if named and named[-1] <= _FEW:
        return named[-1]
    return _CONTINUED if any(word.startswith("Global.checkpoints=") for word in words) else 1


def _of_folder(words):
    """Return what shortens a command that chooses the recipe itself."""
    more = [] if any(word.startswith("--pretrained") for word in words) else ["-o", _RATE]
    if words[0] != "train":  # it has no --epochs
        return ["-o", "Global.epochs=1", *more[1:]]
    if any(word.startswith("Global.epochs=") for word in words):  # not together with --epochs
        return ["-o", "Global.epochs=1", *more[1:]]
    return ["--epochs", "1", *more]


def _of_stages(words, folder):
    """Return a change for each stage of a recipe of the page's own that says how many epochs it has."""
    name = words[next(index for index, word in enumerate(words) if word in ("-c", "--config")) + 1]
    path = next((path for path in (folder / name, folder / f"{name}.yaml") if path.is_file()), None)
    stages = [] if path is None else (yaml.safe_load(path.read_text()) or {}).get("Stages") or []
    changes = []
    for number, stage in enumerate(stages):
        override = stage.get("override") or {}
        if "Global.epochs" in override or "epochs" in (override.get("Global") or {}):
            changes.append(f"Stages.{number}.override.Global.epochs=1")
    return changes
