"""What docs/python.md tells users to paste, in its order."""

import re
import shutil

import pytest

import ppcls
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_all_blocks_run_one_after_the_other(digits, tmp_path, monkeypatch):
    for split in ("train", "val"):
        for line in (digits / f"{split}_list.txt").read_text().splitlines():
            name, label = line.split()
            folder = tmp_path / "dataset" / "digits" / split / ("seven" if label == "7" else f"digit-{label}")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(digits / name, folder)
    shutil.copy(digits / "val" / "000.png", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    # Blocks register components under names that are not to stay.
    monkeypatch.setattr(ppcls.LOSSES, "_entries", dict(ppcls.LOSSES._entries))
    names = {"__name__": "docs_python"}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"python_page_block_{number}", "exec"), names)
    assert names["result"].best["epoch"] >= 1
    assert names["features"].shape == (10, 32)
    assert names["answer"]["label_names"][0].startswith(("digit-", "seven"))
    assert names["photos"].history[0]["epoch"] == 1
    assert len(names["result"].history) == 3  # continued, not trained again
    assert names["report"]["max_difference"] < 1e-4
    assert names["metrics"]["top1"] == pytest.approx(names["result"].metrics["top1"])
    assert names["pixels"].shape == (3, 224, 224)
    assert len(names["trunk"](names["batch"])) == len(names["trunk"].feature_info)


@pytest.mark.parametrize("name", ppcls.__all__)
def test_every_public_name_is_there_and_documented(name):
    assert getattr(ppcls, name) is not None
    assert f"`{name}`" in PAGE.split("## All names")[1]
