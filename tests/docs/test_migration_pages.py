"""The commands in the tables of pages for people who come from elsewhere, run on the digits."""

import re
import shlex

import pytest

from tests.docs.shims import command_of
from tests.helpers.recipes import ROOT

PAGES = ("docs/paddleclas.md", "docs/timm.md", "docs/paddlevit.md", "docs/mindcv.md", "docs/models/README.md")
# Not run: they need several processes, a network, ImageNet, class folders, files of other people's, or go on for ever.
ELSEWHERE = re.compile(
    r"distributed\.launch|-c (ImageNet|CIFAR)|train PHOTOS|tests/|deploy/"
    r"|ppcls (benchmark|convert|serve|models|summary|split-data)"
)


def commands():
    """Yield the commands in the last column."""
    for page in PAGES:
        for line in (ROOT / page).read_text().splitlines():
            if line.startswith("|"):
                here = line.rsplit("|", 2)[1]
                yield from re.findall(r"`((?:ppcls |python )[^`]+)`", here)


RUN_HERE = sorted({text for text in commands() if not ELSEWHERE.search(text)})


# What a command prints when it has done its work.
RESULTS = {
    "train": "training is done; best top1",
    "train -p": "training ends after the profile",
    "eval": '"top1": ',
    "export": '"max_difference": ',
    "average": '"averaged": [',
    "infer": '"class_ids": [',
    "infer --out": ": 40 images, 0 of them broken",
    "infer --features": "wrote features.npy: 40 images, 0 of them broken",
}


@pytest.fixture(scope="module")
def workplace(models, digits, tmp_path_factory):
    """Return a folder with what the commands' words in capitals stand for."""
    import shutil

    folder = tmp_path_factory.mktemp("workplace")
    shutil.copytree(models / "out", folder / "run")
    shutil.copytree(models / "inference", folder / "export")
    text = (models / "recipe.yaml").read_text()
    (folder / "recipe.yaml").write_text(
        text.replace(f"{models}/out", f"{folder}/new").replace("epochs: 2", "epochs: 1")
    )
    (folder / "photos").symlink_to(digits / "val")
    return folder


@pytest.mark.parametrize("text", RUN_HERE)
def test_the_command_runs(text, workplace, run):
    names = {"RECIPE": "recipe.yaml", "RUN": "run", "EXPORT": "export", "PHOTOS": "photos"}
    text = text.replace("class_num=N", "class_num=10")
    text = re.sub(rf"\b({'|'.join(names)})\b", lambda match: names[match[0]], text)
    # Values that the small data and the machine allow.
    text = text.replace("batch_range=[10,20]", "batch_range=[2,4]").replace("num_workers=8", "num_workers=1")
    more = ["-o", "Global.epochs=11"] if "Global.checkpoints" in text else []  # the run has ten
    words = command_of(shlex.split(text))
    done = run(*words, *more, cwd=workplace)
    kind = " ".join([words[0], *(word for word in words if word in ("-p", "--out", "--features"))])
    assert RESULTS[kind] in done.stdout + done.stderr


def test_the_log_lines_of_the_page_are_those_of_a_run(recipe, run):
    """Compared without their numbers and folders."""
    text = (ROOT / "docs/paddleclas.md").read_text()
    (block,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    done = run("train", "-c", recipe)
    printed = {shape(line.partition("INFO: ")[2]) for line in done.stderr.splitlines()}
    for line in block.splitlines():
        assert shape(line) in printed, line


def shape(line):
    return re.sub(r"model in .*/", "model in ", re.sub(r"\d+", "N", line))
