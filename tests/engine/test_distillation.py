"""Training by a teacher's answers: the losses by their definitions, and real runs."""

import json

import numpy as np
import paddle
import pytest
import yaml

import ppcls
from ppcls.config.schema import DistillationSection
from ppcls.engine.distillation.step import Distillation, with_teacher
from ppcls.engine.reduction import GradientReducer
from ppcls.errors import ConfigError
from ppcls.loss import build_loss
from ppcls.weights import create_model, restricted_load
from tests.helpers.runs import records

TEACHER = "{name: ConvMixer, dim: 16, depth: 2, kernel_size: 3, patch_size: 4, pretrained: teacher/best_model}"
STUDENT = "Arch={name: ConvMixer, class_num: 10, dim: 8, depth: 1, kernel_size: 3, patch_size: 4}"
MIXED = "DataLoader.Train.dataset.batch_transform_ops=[{MixupOperator: {alpha: 0.8}}]"


def log_softmax(x):
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("mixed", [False, True])
def test_the_losses_are_those_of_their_definitions(kind, mixed):
    paddle.seed(0)
    rng = np.random.default_rng(0)
    teacher = create_model("ConvMixer", dim=8, depth=1, kernel_size=3, patch_size=4, class_num=5)
    images = rng.normal(size=(6, 3, 16, 16)).astype("float32")
    logits, labels = rng.normal(size=(6, 5)).astype("float32"), rng.integers(0, 5, 6)
    if mixed:
        labels = rng.dirichlet(np.ones(5), size=6).astype("float32")
    temperature = 2.0 if kind == "soft" else None
    settings = DistillationSection(teacher="unused", kind=kind, alpha=0.3, temperature=temperature)
    criterion = build_loss([{"CELoss": {"epsilon": 0.1, "weight": 2.0}}])
    plain = criterion.per_sample(paddle.to_tensor(logits), paddle.to_tensor(labels))["CELoss"][0].mean().item()
    distillation = Distillation(with_teacher(criterion, settings), {"Teacher": teacher}, {})
    before = {name: tensor.numpy() for name, tensor in teacher.state_dict().items()}
    distillation.run_models(paddle.to_tensor(images))
    student = paddle.to_tensor(logits, stop_gradient=False)
    losses = GradientReducer(paddle.nn.Identity()).reduce_losses(distillation, student, paddle.to_tensor(labels), 6)
    by_name = dict(zip(distillation.names, losses.sums[:, 0].numpy() / losses.sums[:, 1].numpy()))
    answers = teacher(paddle.to_tensor(images)).numpy().astype("float64")
    if kind == "soft":
        log_p, log_q = log_softmax(answers / 2), log_softmax(logits.astype("float64") / 2)
        expected = 4 * (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()
    else:
        expected = -log_softmax(logits.astype("float64"))[np.arange(6), answers.argmax(axis=1)].mean()
    assert by_name["Distillation"] == pytest.approx(0.3 * expected, rel=1e-5)
    assert by_name["CELoss"] == pytest.approx(0.7 * plain, rel=1e-5)
    assert losses.local_loss.item() == pytest.approx(0.7 * plain + 0.3 * expected, rel=1e-5)
    losses.local_loss.backward()
    assert np.abs(student.grad.numpy()).min() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())
    for name, tensor in teacher.state_dict().items():  # batch-norm statistics too
        np.testing.assert_array_equal(tensor.numpy(), before[name])


@pytest.fixture
def taught(recipe, run):
    """Return the recipe, beside which ``teacher/best_model`` has been trained."""
    run("train", "-c", recipe, "-o", "Global.output_dir=teacher", "Global.epochs=3")
    return recipe


def test_a_student_learns_from_mixed_images_and_its_checkpoint_is_its_own(taught, run):
    options = (STUDENT, MIXED, f"Distillation={{teacher: {TEACHER}, kind: soft, temperature: 2, alpha: 0.9}}")
    done = run("train", "-c", taught, "-o", *options)
    out = taught.parent / "out"
    assert "distillation: 0.1 times the losses, 0.9 times what the teacher's soft answers add" in done.stderr
    last = [record for record in records(out) if record["kind"] == "train"][-1]
    assert last["loss"] == pytest.approx(last["CELoss"] + last["Distillation"], rel=1e-5)
    evaluation = [record for record in records(out) if record["kind"] == "eval"][-1]
    assert "Distillation" not in evaluation
    teacher = restricted_load(taught.parent / "teacher" / "best_model.pdparams")
    student = restricted_load(out / "latest.pdparams")
    assert student["head.weight"].shape == (8, 10)
    assert teacher["head.weight"].shape == (16, 10)
    # Resumed, it is the same run.
    changes = (*options, "Global.output_dir=parts")
    run("train", "-c", taught, "-o", *changes, "Global.epochs=1")
    run("train", "-c", taught, "-o", *changes, "Global.checkpoints=parts/latest")
    assert (taught.parent / "parts" / "latest.pdparams").read_bytes() == (out / "latest.pdparams").read_bytes()
    for command in ("eval", "export"):  # they need no teacher
        (taught.parent / "teacher" / "best_model.pdparams").unlink(missing_ok=True)
        run(command, "-c", taught, "-o", *options, "Global.pretrained_model=out/best_model")


def test_the_teacher_may_be_the_recipe_that_it_was_trained_by(taught, run):
    values = yaml.safe_load(taught.read_text())
    values["Global"]["output_dir"] = str(taught.parent / "teacher")
    path = taught.parent / "teacher.yaml"
    path.write_text(yaml.safe_dump(values))
    done = run("train", "-c", taught, "-o", STUDENT, f"Distillation={{teacher: {path}, kind: hard}}", "Global.epochs=1")
    assert f"weights: {taught.parent}/teacher/best_model" in done.stderr
    by_recipe = restricted_load(taught.parent / "out" / "latest.pdparams")
    inline = f"Distillation={{teacher: {TEACHER}, kind: hard}}"
    run("train", "-c", taught, "-o", STUDENT, inline, "Global.epochs=1", "Global.output_dir=inline")
    for name, array in restricted_load(taught.parent / "inline" / "latest.pdparams").items():
        np.testing.assert_array_equal(array, by_recipe[name])
    # Trained in stages, it is as it was after the last one.
    values["Stages"] = [{"name": "first"}, {"name": "second"}]
    path.write_text(yaml.safe_dump(values))
    (taught.parent / "teacher").rename(taught.parent / "second")
    (taught.parent / "teacher").mkdir()
    (taught.parent / "second").rename(taught.parent / "teacher" / "second")
    options = (f"Distillation={{teacher: {path}, kind: hard}}", "Global.epochs=1", "Global.output_dir=staged")
    done = run("train", "-c", taught, "-o", STUDENT, *options)
    assert f"weights: {taught.parent}/teacher/second/best_model" in done.stderr


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{teacher: {name: ConvMixer, dim: 4, depth: 1}}", "Distillation: teacher needs a name, as in Arch, and pretr"),
        ("{teacher: {pretrained: x}}", "Distillation: teacher needs a name"),
        ("{teacher: 3}", "Distillation.teacher: must be text or must be a mapping"),
        ("{teacher: {name: ConvMixr, pretrained: x}}", "Distillation.teacher.name: unknown architecture 'ConvMixr'"),
        ("{teacher: {name: ConvMixer, dims: 16, pretrained: x}}", "Distillation.teacher.dims: unknown argument"),
        (
            "{teacher: {name: ConvMixer, dim: 4, depth: 1, pretrained: false}}",
            "and pretrained, the path of its weights",
        ),
        ("{teacher: x.yaml, kind: hard, temperature: 2}", "temperature does nothing with kind: hard"),
        ("{teacher: {name: ConvMixer, dim: 4, depth: 1, pretrained: x}, pretrained: y}", "write it inside of teacher"),
        ("{teacher: x.yaml, alpha: 2}", "Distillation.alpha: must be less than or equal to 1"),
    ],
)
def test_mistakes_are_found_when_the_recipe_is_loaded(recipe, section, message):
    with pytest.raises(ConfigError) as error:
        ppcls.load_config(recipe, [f"Distillation={section}"])
    assert message in str(error.value)


def test_teachers_that_make_no_sense(taught):
    def refusal(*changes):
        with pytest.raises(ppcls.errors.PpclsError) as error:
            ppcls.train(ppcls.load_config(taught, [f"Global.output_dir={taught.parent}/out", *changes]))
        return str(error.value)

    weights = taught.parent / "teacher" / "best_model"
    teacher = TEACHER.replace("teacher/best_model", str(weights))
    missing = refusal(f"Distillation={{teacher: {teacher.replace('best_model', 'no-such')}}}")
    assert missing.startswith("the teacher's weights (Distillation.teacher.pretrained): no weight file at ")
    assert "Distillation.teacher: nowhere.yaml: no such recipe" in refusal("Distillation={teacher: nowhere.yaml}")
    other = teacher.replace("dim: 16", "dim: 16, class_num: 12")
    assert "has 12 classes, and Arch.class_num is 10" in refusal(f"Distillation={{teacher: {other}}}")
    allowed = "Global.allow_unused_classes=true"
    ten = teacher.replace("dim: 16", "dim: 16, class_num: 10")
    smaller = refusal(allowed, "Arch.class_num=12", f"Distillation.teacher={ten}")
    assert "has 10 classes, and Arch.class_num is 12: they must agree" in smaller
    states = json.loads(weights.with_suffix(".pdstates").read_text())
    states["classes"]["names"][3] = "three"
    del states["digest"]
    weights.with_suffix(".pdstates").write_text(json.dumps(states))
    assert "class 3 is 'three' for the teacher and 'digit-3'" in refusal(f"Distillation={{teacher: {teacher}}}")
    assert not (taught.parent / "out" / "train.log").exists()
