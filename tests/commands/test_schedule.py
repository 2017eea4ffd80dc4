"""``ppcls schedule``."""

import json

import pytest

from tests.helpers.recipes import ROOT


def test_the_learning_rate_is_drawn(run, tmp_path):
    import cv2

    common = ("schedule", "-c", "CIFAR10/ConvMixer_256_8")
    done = run(*common, "--steps-per-epoch", "98")
    table = json.loads(done.stdout)
    assert table["epochs"] == 25
    assert table["peak"] == pytest.approx(0.05)
    assert table["peak_epoch"] == 10
    assert table["first"] == 0
    assert table["25 %"] == pytest.approx(0.05 * 612 / 980)
    picture = cv2.imread(str(tmp_path / "schedule.png"))
    assert (picture < 200).any()
    staged = ("schedule", "-c", "ImageNet/CycleMLP/CycleMLP_B1_staged", "--steps-per-epoch", "1251")
    stages = json.loads(run(*staged, "--out", "stages.png").stdout)
    assert stages["pretrain"]["peak"] == stages["pretrain"]["after_warmup"] == pytest.approx(1e-3)
    assert (stages["finetune"]["first"], stages["finetune"]["last"]) == (1e-5, 1e-5)
    assert "give --steps-per-epoch" in run(*common, code=2).stderr
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "matplotlib.py").write_text("raise ImportError('not installed')")
    environment = {"PYTHONPATH": f"{tmp_path}/without:{ROOT}"}
    done = run(*common, "--steps-per-epoch", "9", code=2, process=True, environment=environment)
    assert 'pip install ".[report]"' in done.stderr
    assert "cannot be written" in run(*common, "--steps-per-epoch", "9", "--out", "no/where.png", code=2).stderr
