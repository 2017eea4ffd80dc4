"""Recipes with several models: frozen teachers, models trained together, and what their checkpoints hold."""

import pickle
import shutil

import numpy as np
import paddle
import pytest
import yaml

import ppcls
from ppcls.engine.model_group import ModelGroup
from ppcls.errors import ConfigError, PpclsError
from ppcls.optimizer import build_optimizer
from ppcls.weights import create_model, load_weights, restricted_load
from tests.helpers.distillation import STUDENT, TEACHER, write_distillation, write_mutual
from tests.helpers.multilabel import write_multilabel_recipe
from tests.helpers.recipes import MIXED_IMAGES
from tests.helpers.runs import digests, records

HALVES = ("Global.update_freq=3", "Global.save_every_steps=1", MIXED_IMAGES)


@pytest.fixture
def taught(recipe, trained):
    """Return the recipe, beside which a run has left its weights in ``teacher``."""
    (recipe.parent / "teacher").mkdir()
    for file in (trained / "out").glob("*.pd*"):
        shutil.copy(file, recipe.parent / "teacher")
    return recipe


def weights(path):
    return restricted_load(path.with_name(path.name + ".pdparams"))


def test_a_frozen_teacher(taught, run, tmp_path):
    """It trains, resumes exactly, evaluates, infers and exports the student with the same recipe and commands."""
    path = write_distillation(taught)
    out, teacher = tmp_path / "out", weights(tmp_path / "teacher" / "best_model")
    done = run("train", "-c", path, "-o", MIXED_IMAGES)
    assert "distillation: Student (ConvMixer) learns with Teacher (ConvMixer; frozen)" in done.stderr
    assert [name for name in records(out)[0] if name.endswith("Loss")] == ["DistillationCELoss"]
    assert weights(out / "best_model")["head.weight"].shape == (8, 10)
    assert not list(out.glob("*_peers.*"))
    for key, array in weights(tmp_path / "teacher" / "best_model").items():
        np.testing.assert_array_equal(array, teacher[key])
    # Resumed, it is the same run.
    run("train", "-c", path, "-o", MIXED_IMAGES, "Global.output_dir=parts", "Global.epochs=1")
    run("train", "-c", path, "-o", MIXED_IMAGES, "Global.output_dir=parts", "Global.checkpoints=parts/latest")
    assert digests(tmp_path / "parts") == digests(out)
    # A teacher with other weights would make it another run.
    changes = ("Global.output_dir=parts", "Global.checkpoints=auto", MIXED_IMAGES)
    best, other = (tmp_path / "teacher" / f"{name}.pdparams" for name in ("best_model", "epoch_8"))
    for suffix in (".pdparams", ".pdstates", ".pdopt"):
        best.with_suffix(suffix).unlink()
        best.with_suffix(suffix).write_bytes(other.with_suffix(suffix).read_bytes())
    done = run("train", "-c", path, "-o", *changes, code=2)
    assert "its teacher had the weights teacher/best_model, and teacher/best_model holds others now" in done.stderr
    best.unlink()  # nothing else needs the teacher
    chosen = "Global.pretrained_model=out/best_model"
    assert '"top5"' in run("eval", "-c", path, "-o", chosen).stdout
    images = f"Infer.infer_imgs={yaml.safe_load(path.read_text())['DataLoader']['Eval']['dataset']['image_root']}/val"
    assert '"label_names": ["digit-' in run("infer", "-c", path, "-o", chosen, images).stdout
    run("export", "-c", path, "-o", chosen)
    assert ppcls.Predictor(tmp_path / "inference").predict(f"{images.partition('=')[2]}/000.png")
    # The weights are those of the student alone: its plain recipe takes them.
    plain = (f"Arch={STUDENT}", "Loss={Eval: [{CELoss: {}}]}")
    run("eval", "-c", taught, "-o", *plain, chosen)


def test_the_frozen_teacher_is_evaluated(taught, run, tmp_path):
    """Its losses are those of its answers in evaluation, not those of a network that trains."""
    path = write_distillation(taught)
    run("train", "-c", path, "-o", "Global.epochs=1", "Optimizer.lr={name: ConstLR, learning_rate: 0}", MIXED_IMAGES)
    # A teacher that is the same but for its frozen statistics gives another loss.
    arrays = weights(tmp_path / "teacher" / "best_model")
    arrays = {key: array + 1 if key.endswith("_mean") else array for key, array in arrays.items()}
    (tmp_path / "other.pdparams").write_bytes(pickle.dumps(arrays))
    changed = ("Arch.models.0.Teacher.pretrained=other", "Global.output_dir=changed", "Global.epochs=1")
    run("train", "-c", path, "-o", *changed, "Optimizer.lr={name: ConstLR, learning_rate: 0}", MIXED_IMAGES)
    one, two = (
        [item["DistillationCELoss"] for item in records(tmp_path / folder) if item["kind"] == "train"]
        for folder in ("out", "changed")
    )
    assert abs(one[-1] - two[-1]) > 1e-3


def test_mutual_learning(recipe, run, tmp_path):
    """Both models are trained, from different weights, and saved; a run continues exactly from inside an epoch."""
    path = write_mutual(recipe)
    done = run("train", "-c", path, "-o", *HALVES, "EMA.decay=0.5")
    out = tmp_path / "out"
    assert "learns with Teacher (ConvMixer; trained, too: 682 trainable parameters)" in done.stderr
    assert "weight decay on 28 parameters" in done.stderr
    peers = weights(out / "latest_peers")
    student = weights(out / "latest_raw")
    assert {f"Teacher.{name}" for name in student} == set(peers)
    assert not np.allclose(peers["Teacher.head.weight"], student["head.weight"])
    first = weights(out / "epoch_1_peers")
    for name in ("Teacher.head.weight", "Teacher.stem.norm._mean"):
        assert not np.array_equal(first[name], peers[name])
    states = restricted_load(out / "latest.pdopt")
    assert {"Student.head.weight/moment1", "Teacher.head.weight/moment1"} <= set(states)
    # Stopped inside the second epoch, and continued.
    script = tmp_path / "stop.py"
    script.write_text(STOP)
    changes = (*HALVES, "EMA.decay=0.5", "Global.output_dir=parts")
    run("train", "-c", path, "--import", script, "-o", *changes, "Callbacks=[{StopAt: {step: 4}}]", code=130)
    done = run("train", "-c", path, "--import", script, "-o", *changes, "Global.checkpoints=parts/latest")
    assert "epoch 2, batch 3" in done.stderr
    for name in ("latest.pdparams", "latest_peers.pdparams", "latest_raw.pdparams", "latest.pdopt"):
        assert (tmp_path / "parts" / name).read_bytes() == (out / name).read_bytes(), name
    # The other model serves a plain recipe, too.
    plain = (f"Arch={STUDENT}", "Global.pretrained_model=out/latest_peers.pdparams")
    assert '"top1"' in run("eval", "-c", recipe, "-o", *plain).stdout


STOP = """
import os
import signal

from ppcls.engine.callbacks import CALLBACKS, Callback


@CALLBACKS.register
class StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, run):
        if run.state.step == self.step and run.is_update_step:
            os.kill(os.getpid(), signal.SIGINT)
"""


def test_gradients_of_two_models_by_one_step(recipe, tmp_path):
    """After one update by plain descent, each model has moved by its own gradient of the sum of the losses."""
    path = write_mutual(recipe)
    options = ["Optimizer={name: SGD, lr: {name: ConstLR, learning_rate: 0.1}}", "Global.epochs=1"]
    sampler = "DataLoader.Train.sampler={batch_size: 120, shuffle: false}"
    config = ppcls.load_config(path, [*options, sampler, f"Global.output_dir={tmp_path}/one"])
    ppcls.train(config)
    from ppcls.engine.data import build_loader

    with build_loader(config, "Train") as loader:
        batch = next(iter(loader.epoch(0)))
    images, labels = paddle.to_tensor(batch.images), paddle.to_tensor(batch.labels)
    arguments = {key: value for key, value in STUDENT.items() if key != "name"}
    nets = []
    for seed in (0, 1):  # the recipe's own model first, as Global.seed says
        paddle.seed(seed)
        nets.append(create_model("ConvMixer", **arguments))
    logits = [net(images) for net in nets]
    p, q = (paddle.nn.functional.softmax(values) for values in logits)
    mutual = ((p - q) * (paddle.log(p) - paddle.log(q))).sum(axis=1).mean() / 2
    labelled = sum(paddle.nn.functional.cross_entropy(values, labels) for values in logits)
    (mutual + labelled).backward()
    peers = weights(tmp_path / "one" / "latest_peers")
    saved = [weights(tmp_path / "one" / "latest"), {name[len("Teacher.") :]: peers[name] for name in peers}]
    for net, arrays in zip(nets, saved):
        for name in ("head.weight", "stem.conv.weight"):
            parameter = dict(net.named_parameters())[name]
            expected = parameter.numpy() - 0.1 * parameter.grad.numpy()
            np.testing.assert_allclose(arrays[name], expected, rtol=1e-4, atol=1e-6)


def test_several_teachers_and_weights_to_start_from(taught, run, tmp_path):
    """Two frozen teachers of different size, by pretrained_list and pretrained, and a peer from other classes."""
    models = [
        {"Large": {**TEACHER, "pretrained": None}},
        {"Small": {**STUDENT, "pretrained": "small/best_model"}},
        {"Peer": {**STUDENT, "pretrained": "twelve/latest"}},
        {"Net": STUDENT},
    ]
    run("train", "-c", taught, "-o", f"Arch={STUDENT}", "Global.output_dir=small", "Global.epochs=1")
    twelve = ("Arch.class_num=12", "Global.allow_unused_classes=true", "Metric.Train=null")
    unnamed = "Infer.PostProcess.class_id_map_file=null"
    changes = (f"Arch={STUDENT}", *twelve, unnamed, "Global.output_dir=twelve", "Global.epochs=1")
    run("train", "-c", taught, "-o", *changes)
    path = write_distillation(
        taught,
        models,
        freeze_params_list=[True, True, False, False],
        pretrained_list=["teacher/best_model", None, None, None],
        infer_model_name="Net",
    )
    losses = (
        "Loss.Train=[{DistillationKLDivLoss: {temperature: 2, model_name_pairs: [[Net, Large], [Peer, Small]]}}, "
        "{CELoss: {}}, {DistillationDMLLoss: {model_name_pairs: [[Net, Peer]]}}]"
    )
    metrics = "Metric=null"
    done = run("train", "-c", path, "-o", losses, metrics, "Global.epochs=1", code=2)
    assert "the weights of Peer (Distillation.models.Peer.pretrained): " in done.stderr
    assert "-o Global.drop_mismatched_head=true" in done.stderr
    assert not (tmp_path / "out" / "latest.pdparams").exists()
    options = ("Global.drop_mismatched_head=true", "Global.epochs=1", losses, metrics)
    done = run("train", "-c", path, "-o", *options)
    assert (
        "Peer: weights: twelve/latest: loaded 18 tensors (ppcls names), left out head.weight, head.bias" in done.stderr
    )
    assert {name.partition(".")[0] for name in weights(tmp_path / "out" / "latest_peers")} == {"Peer"}
    assert "weights: teacher/best_model" in done.stderr
    assert "weights: small/best_model" in done.stderr


def test_the_recipe_that_a_run_keeps_is_one_of_ours(taught, run, tmp_path):
    path = write_distillation(taught)
    run("train", "-c", path, "-o", "Global.epochs=1")
    again = ("Global.output_dir=again", "Global.checkpoints=null")
    run("train", "-c", tmp_path / "out" / "config.yaml", "-o", *again)
    assert digests(tmp_path / "again") == digests(tmp_path / "out")


def test_stages(taught, run, tmp_path):
    """Each stage distils with its own changes; the recipe is read as PaddleClas writes it."""
    path = write_distillation(taught)
    values = yaml.safe_load(path.read_text())
    second = {"Arch.models.0.Teacher.pretrained": "small/best_model", "Arch.models.0.Teacher.dim": 8}
    values["Stages"] = [{"name": "one"}, {"name": "two", "override": {**second, "Arch.models.0.Teacher.depth": 1}}]
    path.write_text(yaml.safe_dump(values))
    run("train", "-c", taught, "-o", f"Arch={STUDENT}", "Global.output_dir=small", "Global.epochs=1")
    done = run("train", "-c", path, "-o", "Global.epochs=1")
    assert "stage two" in done.stderr
    assert "weights: small/best_model" in done.stderr
    config = ppcls.load_config(path)
    assert config.stage("two").Distillation.models["Teacher"].arguments["dim"] == 8
    with pytest.raises(ConfigError, match=r"distillation.yaml:\d+: stage two: .*Teacher.dims: unknown argument"):
        values["Stages"][1]["override"]["Arch.models.0.Teacher.dims"] = 8
        path.write_text(yaml.safe_dump(values))
        ppcls.load_config(path)


def test_files_of_paddleclas(recipe, run, tmp_path):
    """It saves all models under their names in one file: those of the one that is wanted are taken."""
    paddle.seed(3)
    arguments = {key: value for key, value in STUDENT.items() if key != "name"}
    nets = {name: create_model("ConvMixer", **arguments) for name in ("Teacher", "Student")}
    arrays = {f"{name}.{key}": tensor.numpy() for name, net in nets.items() for key, tensor in net.state_dict().items()}
    (tmp_path / "theirs.pdparams").write_bytes(pickle.dumps(arrays))
    (tmp_path / "own.pdparams").write_bytes(
        pickle.dumps({key: tensor.numpy() for key, tensor in nets["Student"].state_dict().items()})
    )
    path = write_distillation(recipe)
    outputs = [
        run("eval", "-c", source, "-o", *changes, f"Global.pretrained_model={file}")
        for source, changes, file in (
            (recipe, [f"Arch={STUDENT}"], "own"),
            (recipe, [f"Arch={STUDENT}"], "theirs"),
            (path, [], "theirs"),
        )
    ]
    assert outputs[0].stdout.split("top1")[1:] == outputs[1].stdout.split("top1")[1:]
    assert outputs[1].stdout == outputs[2].stdout
    assert "left out Teacher." in outputs[1].stderr
    fresh = create_model("ConvMixer", **arguments)
    report = load_weights(fresh, tmp_path / "theirs.pdparams", submodel="Teacher")
    assert report.dropped[0].startswith("Student.")
    np.testing.assert_array_equal(fresh.head.weight.numpy(), nets["Teacher"].head.weight.numpy())
    with pytest.raises(PpclsError, match="of a distillation, but none called 'Peer'"):
        load_weights(fresh, tmp_path / "theirs.pdparams", submodel="Peer")


def refusal(path, *changes):
    with pytest.raises(PpclsError) as error:
        ppcls.train(ppcls.load_config(path, [f"Global.output_dir={path.parent}/out", *changes]))
    return str(error.value)


def test_teachers_without_sense(taught, tmp_path):
    """They are refused before anything is trained; what needs no teacher works."""
    path = write_distillation(taught, [{"Teacher": TEACHER}, {"Student": STUDENT}])
    assert "Distillation.models.Teacher: is frozen and has no weights, so what it teaches would be random" in refusal(
        path
    )
    missing = refusal(path, "Arch.models.0.Teacher.pretrained=nowhere")
    assert missing.startswith("the weights of Teacher (Distillation.models.Teacher.pretrained): no weight file at ")
    public = refusal(path, "Arch.models.0.Teacher.pretrained=true")
    assert "Teacher.pretrained: no published weights of ConvMixer are known" in public
    other = refusal(
        path, f"Arch.models.0.Teacher={{name: ConvMixer, dim: 4, depth: 1, pretrained: {tmp_path}/teacher/best_model}}"
    )
    assert "does not fit ConvMixer" in other
    assert not (tmp_path / "out" / "train.log").exists()


def test_layer_decay_of_several_models():
    """The last layers of a shallow and of a deep model have the same rate."""
    nets = {name: create_model("ConvMixer", class_num=5, dim=4, depth=depth) for name, depth in (("A", 1), ("B", 3))}
    group = ModelGroup("A", nets["A"], {"B": nets["B"]})
    assert group.depth_of("A.head.weight") == group.depth_of("B.head.weight")
    assert group.depth_of("A.stem.conv.weight") - group.depth_of("B.stem.conv.weight") == 2
    optimizer = build_optimizer({"name": "AdamW", "layer_decay": 0.5}, group, learning_rate=0.1)
    factors = {name: parameter.optimize_attr["learning_rate"] for name, parameter in group.named_parameters()}
    assert factors["A.head.weight"] == factors["B.head.weight"] == 1
    assert factors["B.stem.conv.weight"] * 4 == factors["A.stem.conv.weight"]
    assert len(optimizer._parameter_list) == len([p for p in group.parameters() if not p.stop_gradient])
    with pytest.raises(ConfigError, match="layer_decay: C: Linear has no depth_of"):
        with_linear = ModelGroup("A", nets["A"], {"C": paddle.nn.Linear(2, 2)})
        build_optimizer({"name": "AdamW", "layer_decay": 0.5}, with_linear, learning_rate=0.1)


def test_images_with_several_classes(digits, run, tmp_path):
    """As PULC's attributes are distilled: a frozen teacher, weights of the classes, post-processing by thresholds."""
    recipe = write_multilabel_recipe(digits, tmp_path)
    run("train", "-c", recipe, "-o", "Global.output_dir=teacher", "Global.epochs=1")
    teacher, student = ({**net, "class_num": 3} for net in (TEACHER, STUDENT))
    models = [{"Teacher": {**teacher, "pretrained": "teacher/latest"}}, {"Student": student}]
    path = write_distillation(recipe, models, class_num=3)
    values = yaml.safe_load(path.read_text())
    ratio, names = {"weight_ratio": True, "size_sum": True}, [["Student", "Teacher"]]
    values["Loss"] = {
        "Train": [
            {"DistillationMultiLabelLoss": {"weight": 1.0, "model_names": ["Student"], **ratio}},
            {"DistillationDMLLoss": {"weight": 1.0, "weight_ratio": True, "model_name_pairs": names}},
        ],
        "Eval": [{"MultiLabelLoss": {"weight": 1.0, **ratio}}],
    }
    values["Metric"] = {"Eval": [{"ATTRMetric": None}]}
    values["Infer"] = {"PostProcess": {"name": "MultiLabelThreshOutput", "threshold": 0.3}}
    for split in values["DataLoader"].values():
        split["dataset"]["label_ratio"] = True
    path.write_text(yaml.safe_dump(values))
    run("train", "-c", path)
    names = [name for name in records(tmp_path / "out")[0] if name.endswith("Loss")]
    assert names == ["DistillationMultiLabelLoss", "DistillationDMLLoss"]
    chosen = "Global.pretrained_model=out/best_model"
    assert '"ma"' in run("eval", "-c", path, "-o", chosen).stdout
    assert '"scores"' in run("infer", "-c", path, "-o", chosen, f"Infer.infer_imgs={digits}/val/000.png").stdout
    run("export", "-c", path, "-o", chosen)
    done = run("train", "-c", path, "-o", "Loss.Train.0={DistillationGTCELoss: {model_names: [Student]}}", code=2)
    assert "DistillationGTCELoss is for single-label data" in done.stderr
    one = f"Distillation={{teacher: {{name: ConvMixer, dim: 16, depth: 2, pretrained: {tmp_path}/teacher/latest}}}}"
    done = run("train", "-c", recipe, "-o", one, code=2)
    assert "Distillation.teacher: its classes exclude each other" in done.stderr
