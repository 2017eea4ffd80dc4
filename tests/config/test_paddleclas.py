"""Keys and names of PaddleClas's recipes: what is off is dropped, what has no effect is said, the rest is refused."""

import logging

import pytest

from ppcls import config
from ppcls.config.show import to_yaml
from ppcls.errors import ConfigError

OFF = [
    "Global.use_dali=False",
    "Global.feature_normalize=False",
    "Global.re_ranking=false",
    "Global.retrieval_feature_from=null",
    "Global.iter_per_epoch=null",
    "Global.image_channel=3",
    "Arch.use_ssld=False",
    "Arch.use_fused_attn=False",
    "Arch.data_format=NCHW",
    "Arch.infer_add_softmax=True",
    "Optimizer.lr.last_epoch=-1",
    "Optimizer.lr.verbose=False",
    "Optimizer.lr.cycle=False",
    "Optimizer.clip_grad=None",
    "Slim=null",
    "Global.save_interval=-1",
]


def error(path, registries, *changes):
    with pytest.raises(ConfigError) as caught:
        config.load(path, changes, registries=registries)
    return str(caught.value)


def test_switches_that_are_off_are_dropped_silently(recipe, registries, caplog):
    plain = config.load(recipe, ["Global.save_interval=-1"], registries=registries).plain()
    with caplog.at_level(logging.WARNING):
        loaded = config.load(recipe, OFF, registries=registries)
    assert loaded.plain() == plain
    assert "use_dali" not in to_yaml(loaded)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "Global.use_dali=True",
            "Global.use_dali: must be false, not True: DALI (decoding on NVIDIA GPUs)",
        ),
        ("Global.use_dali=0", "must be false, not 0"),
        ("Global.feature_normalize=True", "it belongs to retrieval"),
        ("Global.iter_per_epoch=1024", "an epoch is one pass over the data"),
        ("Global.image_channel=5", "must be 3, not 5"),
        ("Global.infer_imgs=x.jpg", "must be null, not 'x.jpg': its section is Infer"),
        ("Arch.use_ssld=True", "an argument of PaddleClas's own networks"),
        ("Arch.data_format=NHWC", "must be NCHW, not 'NHWC'"),
        ("Arch.infer_add_softmax=False", "exported models answer with probabilities"),
        ("Optimizer.lr.last_epoch=0", "must be -1, not 0: to continue a run, give Global.checkpoints"),
        ("Optimizer.lr.verbose=True", "must be false"),
        ("Optimizer.lr.scale_fn=f", "must be null"),
        ("Slim={quant: {name: pact}}", "PaddleSlim"),
        ("Global.save_interval=-2", "Global.save_interval: must be greater than or equal to -1"),
        ("Global.eval_mode=retrieval", "Global.eval_mode: 'retrieval': it belongs to retrieval"),
        ("Global.eval_mode=x", "Global.eval_mode: must be 'classification'"),
        ("DataLoader.Eval={Query: {}, Gallery: {}}", "a query and a gallery"),
        ("DataLoader.UnLabelTrain={dataset: {}}", "semi-supervised"),
        ("SSL={tempture: 1}", "FixMatch"),
        ("ARCHITECTURE={name: ResNet50}", "a recipe of PaddleClas 1.x"),
        ("base_config_file=ppcls/configs/x.yaml", "strategy search"),
        (
            "Loss.Train.0={TripletLossV2: {}}",
            "PaddleClas's loss 'TripletLossV2' is not available: it belongs to retrieval",
        ),
        ("Metric.Eval=[{Recallk: {topk: [1, 5]}}]", "PaddleClas's metric 'Recallk' is not available"),
        ("DataLoader.Train.sampler.name=PKSampler", "PaddleClas's sampler 'PKSampler' is not available"),
        ("DataLoader.Train.dataset.name=VeriWild", "'VeriWild' is not available"),
        (
            "Optimizer.lr.name=CosineFixmatch",
            "schedule 'CosineFixmatch' is not available: it belongs to semi-supervised",
        ),
        ("Arch.name=RecModel", "architecture 'RecModel' is not available"),
        (
            "DataLoader.Train.dataset.transform_ops.0={RandomRot90: null}",
            "PaddleClas's transform 'RandomRot90' is not available: it draws the label of an image",
        ),
    ],
)
def test_what_is_on_is_refused_with_the_reason(recipe, registries, change, message):
    text = error(recipe, registries, change)
    assert text.startswith(f"-o {change}: ")
    assert message in text
    assert "did you mean" not in text
    assert "\n" not in text


def test_recipes_of_another_task_have_one_message_and_others_all(recipe, registries):
    recipe.write_text(recipe.read_text() + "SSL: {T: 1}\nUnLabelLoss: {}\n")
    text = error(recipe, registries, "Global.epochs=x")
    assert text.startswith(f"{recipe}:26: SSL: ")
    assert "\n" not in text
    text = error(
        recipe, registries, "SSL=null", "UnLabelLoss=null", "Global.use_dali=True", "Global.epochs=x", "Arch.dept=3"
    )
    assert text.startswith("3 mistakes")


def test_what_has_no_effect_is_said_once(recipe, registries, caplog):
    recipe.write_text(
        recipe.read_text().replace("weight_decay:", "clip_grad: 5.0\n  weight_decay:")
        + "Stages: [{name: first}, {name: second, override: {Global.epochs: 2}}]\n"
    )
    with caplog.at_level(logging.WARNING):
        loaded = config.load(recipe, ["Optimizer.lr.step_each_epoch=1", "Optimizer.lr.epochs=9"], registries=registries)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3
    assert messages[0].startswith(f"{recipe}:13: Optimizer.clip_grad: has no effect, as in PaddleClas")
    assert "clip_norm" in messages[0]
    assert "-o Optimizer.lr.step_each_epoch=1: Optimizer.lr.step_each_epoch: has no effect" in messages[2]
    assert loaded.stages["second"].Optimizer.arguments == {"weight_decay": 0.05}


def test_a_component_that_takes_such_an_argument_gets_it(recipe, registries):
    class Loud:
        def __init__(self, learning_rate: float, verbose: bool = False, step_each_epoch: int = 0, epochs: int = 0):
            pass

    registries["schedule"].register(Loud, injected=["epochs"])
    changes = ["Optimizer.lr.name=Loud", "Optimizer.lr.verbose=True", "Optimizer.lr.step_each_epoch=2"]
    recipe.write_text(recipe.read_text().replace(", warmup_epoch: 1", ""))
    loaded = config.load(recipe, changes, registries=registries)
    assert loaded.Optimizer.lr.arguments == {"learning_rate": 1e-3, "verbose": True, "step_each_epoch": 2}


@pytest.mark.parametrize("key", ["use_dali", "train_mode", "iter_per_epochs"])
def test_a_misleading_suggestion_is_not_made(recipe, registries, key):
    assert "did you mean" not in error(recipe, registries, f"Global.{key}=1")
