"""Evaluations without a result: outputs and losses that are not finite."""

import json

import numpy as np
import paddle
import pytest

import ppcls
from ppcls.engine import evaluation
from ppcls.errors import WeightsError
from tests.helpers.runs import records


class Broken(paddle.nn.Layer):
    """Gives NaN for the images of some rows, and infinity for those of others."""

    def __init__(self, bad):
        super().__init__()
        self.bad = bad
        self.scale = self.create_parameter([1])

    def forward(self, images):
        logits = self.scale * paddle.ones([len(images), 10])
        values = np.zeros([len(images), 10], np.float32)
        values[: self.bad, 3] = np.nan
        values[1 : self.bad, 3] = np.inf
        return logits + paddle.to_tensor(values)


def loader_and_losses(recipe):
    config = ppcls.load_config(recipe)
    loader = evaluation.build_loader(config, "Eval")
    return loader, evaluation.criteria.build_loss(config, "Eval"), evaluation.criteria.build_metrics(config, "Eval")


def test_outputs_that_are_not_finite_are_no_result(recipe, caplog):
    loader, losses, metrics = loader_and_losses(recipe)
    with loader:
        assert np.isfinite(list(evaluation.evaluate_model(Broken(0), loader, losses, metrics).values())).all()
        # Two images of each of the three batches.
        with pytest.raises(WeightsError, match="the model's outputs are not finite for 6 of 40 images"):
            evaluation.evaluate_model(Broken(2), loader, losses, metrics)
        values = evaluation.evaluate_model(Broken(1), loader, losses, metrics, require_finite=False)
    assert set(values) == {"CELoss", "loss", "top1", "top5"}
    assert np.isnan(list(values.values())).all()
    assert "not finite for 3 of 40 images: this evaluation has no result" in caplog.text


@pytest.mark.parametrize("suffix", ["checkpoint", "export"])
def test_eval_refuses_weights_that_give_nan(trained, run, tmp_path, suffix, monkeypatch):
    real = evaluation.evaluate_model

    def broken(model, *arguments, **options):
        class Model(paddle.nn.Layer):
            def forward(self, images):
                return model(images) * np.nan

        return real(Model(), *arguments, **options)

    if suffix == "checkpoint":
        monkeypatch.setattr(evaluation, "evaluate_model", broken)
        options = ["-o", f"Global.pretrained_model={trained}/out/best_model"]
    else:
        from ppcls.exporting import evaluation as of_exports

        monkeypatch.setattr(of_exports, "evaluate_model", broken)
        run("export", trained / "out", "-o", f"Global.save_inference_dir={tmp_path}/model")
        options = ["--model", tmp_path / "model"]
    done = run("eval", "-c", trained / "recipe.yaml", *options, code=2)
    assert "the model's outputs are not finite for 40 of 40 images" in done.stderr
    assert done.stdout == ""


def test_an_evaluation_without_a_result_chooses_no_best_model(recipe, run, monkeypatch):
    real, calls = evaluation.evaluate_model, []

    def broken_at_first(model, *arguments, **options):
        calls.append(0)
        return real(Broken(1) if len(calls) == 1 else model, *arguments, **options)

    monkeypatch.setattr(evaluation, "evaluate_model", broken_at_first)
    done = run("train", "-c", recipe, "-o", "Global.epochs=2")
    assert "not finite for 3 of 40 images: this evaluation has no result" in done.stderr
    assert json.loads(done.stdout)["epoch"] == 2
    first, second = (record for record in records(recipe.parent / "out") if record["kind"] == "eval")
    assert [first[key] for key in ("CELoss", "loss", "top1", "top5")] == [None] * 4
    assert second["top1"] == json.loads(done.stdout)["top1"]
    text = (recipe.parent / "out" / "latest.pdstates").read_text()
    assert "NaN" not in text
    assert json.loads(text)["best"]["epoch"] == 2


def test_a_run_whose_evaluations_have_no_result(recipe, run, monkeypatch):
    real = evaluation.evaluate_model
    monkeypatch.setattr(evaluation, "evaluate_model", lambda model, *a, **options: real(Broken(1), *a, **options))
    done = run("train", "-c", recipe, "-o", "Global.epochs=1")
    assert "training is done; no evaluation gave a finite value. Weights: " in done.stderr
    assert json.loads(done.stdout) == {"epoch": 1}
    assert not (recipe.parent / "out" / "best_model.pdparams").exists()
