"""Losses of several models, against the formulas of their papers in NumPy."""

import numpy as np
import paddle
import pytest

from ppcls.errors import ConfigError
from ppcls.loss import build_loss

PAIR = {"model_name_pairs": [["Student", "Teacher"]]}
RNG = np.random.default_rng(0)
OWN, TEACHERS = RNG.normal(size=(2, 6, 5)) * 2
LABELS = RNG.integers(0, 5, 6)
MIXED = RNG.dirichlet(np.ones(5), size=6)


def softmax(x):
    x = np.exp(x - x.max(axis=1, keepdims=True))
    return x / x.sum(axis=1, keepdims=True)


def one_hot(labels):
    return np.eye(5)[labels]


def soft_cross_entropy(p, logits):
    return -(p * np.log(softmax(logits))).sum(axis=1)


def divergence(p, q):
    return (p * np.log(p / q)).sum(axis=1)


def dml(p, q):
    return (divergence(p, q) + divergence(q, p)) / 2


def dkd(own, teachers, target, temperature, alpha, beta):
    losses = []
    for logits, others, label in zip(own, teachers, target):
        q, p = (softmax(values[None] / temperature)[0] for values in (logits, others))
        binary = divergence(np.array([[p[label], 1 - p[label]]]), np.array([[q[label], 1 - q[label]]]))[0]
        p, q = (np.delete(values, label) / (1 - values[label]) for values in (p, q))
        losses.append(temperature**2 * (alpha * binary + beta * divergence(p[None], q[None])[0]))
    return np.array(losses)


def wsl(own, teachers, targets, temperature):
    quotient = soft_cross_entropy(targets, own) / soft_cross_entropy(targets, teachers)
    return (
        temperature**2
        * (1 - np.exp(-quotient))
        * soft_cross_entropy(softmax(teachers / temperature), own / temperature)
    )


def skd(own, teachers, targets, temperature, multiplier, alpha):
    own, teachers = (
        multiplier * (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True) for x in (own, teachers)
    )
    distilled = temperature**2 * soft_cross_entropy(softmax(teachers / temperature), own / temperature)
    return alpha * distilled + (1 - alpha) * soft_cross_entropy(targets, own)


def dist(own, teachers, beta, gamma):
    own, teachers = softmax(own), softmax(teachers)
    rows = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(own, teachers)])
    columns = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(own.T, teachers.T)])
    return beta * (1 - rows) + gamma * (1 - columns)


CASES = [
    ("DistillationGTCELoss", {"model_names": ["Student"]}, soft_cross_entropy(one_hot(LABELS), OWN)),
    (
        "DistillationGTCELoss",
        {"model_names": ["Student", "Teacher"], "epsilon": 0.1},
        sum(soft_cross_entropy(0.9 * one_hot(LABELS) + 0.02, logits) for logits in (OWN, TEACHERS)),
    ),
    ("DistillationCELoss", PAIR, soft_cross_entropy(softmax(TEACHERS), OWN)),
    (
        "DistillationCELoss",
        {"model_name_pairs": [["Student", "Teacher"], ["Teacher", "Student"]], "key": "logits"},
        soft_cross_entropy(softmax(TEACHERS), OWN) + soft_cross_entropy(softmax(OWN), TEACHERS),
    ),
    ("DistillationKLDivLoss", PAIR, 16 * divergence(softmax(TEACHERS / 4), softmax(OWN / 4))),
    ("DistillationKLDivLoss", {**PAIR, "temperature": 1}, divergence(softmax(TEACHERS), softmax(OWN))),
    ("DistillationDMLLoss", PAIR, dml(softmax(OWN), softmax(TEACHERS))),
    ("DistillationDMLLoss", {**PAIR, "sum_across_class_dim": True}, 5 * dml(softmax(OWN), softmax(TEACHERS))),
    ("DistillationDMLLoss", {**PAIR, "act": "sigmoid"}, dml(1 / (1 + np.exp(-OWN)), 1 / (1 + np.exp(-TEACHERS)))),
    ("DistillationDKDLoss", {**PAIR, "temperature": 4, "alpha": 0.5, "beta": 8}, dkd(OWN, TEACHERS, LABELS, 4, 0.5, 8)),
    ("DistillationDKDLoss", {**PAIR, "use_target_as_gt": True}, dkd(OWN, TEACHERS, TEACHERS.argmax(axis=1), 1, 1, 1)),
    ("DistillationWSLLoss", PAIR, wsl(OWN, TEACHERS, one_hot(LABELS), 2)),
    ("DistillationSKDLoss", PAIR, skd(OWN, TEACHERS, one_hot(LABELS), 1, 2, 0.9)),
    (
        "DistillationSKDLoss",
        {**PAIR, "temperature": 3, "multiplier": 1.5, "alpha": 0.6, "use_target_as_gt": True},
        skd(OWN, TEACHERS, one_hot(TEACHERS.argmax(axis=1)), 3, 1.5, 0.6),
    ),
    ("DistillationDISTLoss", {**PAIR, "beta": 2, "gamma": 0.5}, dist(OWN, TEACHERS, 2, 0.5)),
]
MIXED_CASES = [
    ("DistillationGTCELoss", {"model_names": ["Student"]}, soft_cross_entropy(MIXED, OWN)),
    ("DistillationWSLLoss", PAIR, wsl(OWN, TEACHERS, MIXED, 2)),
    ("DistillationSKDLoss", PAIR, skd(OWN, TEACHERS, MIXED, 1, 2, 0.9)),
    ("DistillationDKDLoss", {**PAIR, "use_target_as_gt": True}, dkd(OWN, TEACHERS, TEACHERS.argmax(axis=1), 1, 1, 1)),
]


def tensors():
    return [paddle.to_tensor(logits.astype("float32"), stop_gradient=False) for logits in (OWN, TEACHERS)]


@pytest.mark.parametrize(("name", "arguments", "expected"), CASES)
def test_formulas(name, arguments, expected):
    own, teachers = tensors()
    criterion = build_loss([{name: {**arguments, "weight": 2.5}}])
    losses, weights = criterion.per_sample(own, paddle.to_tensor(LABELS), {"Teacher": teachers})[name]
    np.testing.assert_allclose(losses.numpy(), 2.5 * expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_array_equal(weights.numpy(), np.ones(6))


@pytest.mark.parametrize(("name", "arguments", "expected"), MIXED_CASES)
def test_formulas_with_mixed_labels(name, arguments, expected):
    own, teachers = tensors()
    targets = paddle.to_tensor(MIXED.astype("float32"))
    losses, _ = build_loss([{name: arguments}]).per_sample(own, targets, {"Teacher": teachers})[name]
    np.testing.assert_allclose(losses.numpy(), expected, rtol=2e-5)


@pytest.mark.parametrize(
    ("name", "both"),
    [
        ("DistillationCELoss", False),
        ("DistillationKLDivLoss", False),
        ("DistillationDKDLoss", False),
        ("DistillationDMLLoss", True),
        ("DistillationWSLLoss", True),
        ("DistillationSKDLoss", True),
        ("DistillationDISTLoss", True),
    ],
)
def test_who_learns(name, both):
    own, teachers = tensors()
    losses, _ = build_loss([{name: PAIR}]).per_sample(own, paddle.to_tensor(LABELS), {"Teacher": teachers})[name]
    losses.mean().backward()
    assert np.abs(own.grad.numpy()).max() > 0
    assert (teachers.grad is not None and np.abs(teachers.grad.numpy()).max() > 0) == both


def test_one_image_and_equal_models_have_finite_gradients():
    """No variation between the images, nothing to choose between the classes, certainty."""
    for values in ([[0.0] * 5], [[300.0, 0, 0, 0, 0]]):
        for name in ("DML", "WSL", "SKD", "DIST", "DKD", "KLDiv", "CE"):
            own = paddle.to_tensor(values, stop_gradient=False)
            name = f"Distillation{name}Loss"
            criterion = build_loss([{name: PAIR}])
            losses, _ = criterion.per_sample(own, paddle.to_tensor([0]), {"Teacher": paddle.to_tensor(values)})[name]
            losses.sum().backward()
            assert np.isfinite(losses.numpy()).all() and np.isfinite(own.grad.numpy()).all(), name


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("DistillationGTCELoss", {}, "missing argument model_names"),
        ("DistillationGTCELoss", {"model_names": []}, "model_names: must be different models"),
        ("DistillationGTCELoss", {"model_names": ["A", "A"]}, "model_names: must be different models"),
        ("DistillationCELoss", {"model_name_pairs": []}, "must be at least one pair"),
        ("DistillationCELoss", {"model_name_pairs": [["A"]]}, r"two different models, not \['A'\]"),
        ("DistillationCELoss", {"model_name_pairs": [["A", "A"]]}, "two different models"),
        ("DistillationCELoss", {**PAIR, "key": "hidden_layer"}, "key: 'hidden_layer' names feature maps"),
        ("DistillationCELoss", {**PAIR, "weight": -1}, "weight: must be"),
        ("DistillationCELoss", {**PAIR, "epsilon": 0.1}, "unknown argument 'epsilon'"),
        ("DistillationKLDivLoss", {**PAIR, "temperature": 0}, "temperature: must be above 0"),
        ("DistillationDMLLoss", {**PAIR, "act": "relu"}, "act: must be"),
        ("DistillationSKDLoss", {**PAIR, "alpha": 2}, "alpha: must be from 0 to 1"),
        ("DistillationDKDLoss", {**PAIR, "beta": -1}, "beta: must be"),
    ],
)
def test_wrong_values(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        build_loss([{name: arguments}])


def test_mixed_images_have_no_target_class():
    own, teachers = tensors()
    with pytest.raises(ConfigError, match="mixed images have several target classes"):
        build_loss([{"DistillationDKDLoss": PAIR}]).per_sample(
            own, paddle.to_tensor(MIXED.astype("float32")), {"Teacher": teachers}
        )


TAGS = RNG.integers(0, 2, size=(6, 5))
RATIO = np.array([0.1, 0.5, 0.9, 0.3, 0.7])
RARITY = TAGS * np.exp(1 - RATIO) + (1 - TAGS) * np.exp(RATIO)


def terms(p, q):
    return (p * np.log(p / q) + q * np.log(q / p)) / 2


def binary(logits, targets):
    p = 1 / (1 + np.exp(-logits))
    return -(targets * np.log(p) + (1 - targets) * np.log(1 - p))


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        (
            "DistillationMultiLabelLoss",
            {"model_names": ["Student", "Teacher"]},
            binary(OWN, TAGS).mean(axis=1) + binary(TEACHERS, TAGS).mean(axis=1),
        ),
        (
            "DistillationMultiLabelLoss",
            {"model_names": ["Student"], "weight_ratio": True, "size_sum": True, "epsilon": 0.1},
            (RARITY * binary(OWN, 0.9 * TAGS + 0.02)).sum(axis=1),
        ),
        (
            "DistillationDMLLoss",
            {**PAIR, "weight_ratio": True},
            (RARITY * terms(softmax(OWN), softmax(TEACHERS))).sum(axis=1),
        ),
    ],
)
def test_formulas_with_several_labels(name, arguments, expected):
    own, teachers = tensors()
    criterion = build_loss([{name: arguments}], 5, label_ratio=RATIO)
    losses, _ = criterion.per_sample(own, paddle.to_tensor(TAGS.astype("float32")), {"Teacher": teachers})[name]
    np.testing.assert_allclose(losses.numpy(), expected, rtol=2e-5)
    without = build_loss([{name: arguments}], 5)
    if arguments.get("weight_ratio"):
        with pytest.raises(ConfigError, match="weight_ratio: needs the data set's label_ratio: true"):
            without.per_sample(own, paddle.to_tensor(TAGS.astype("float32")), {"Teacher": teachers})
