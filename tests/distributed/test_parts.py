"""How work is shared out and put together, without other processes."""

import numpy as np
import paddle
import pytest

from ppcls.data.samplers import DistributedBatchSampler
from ppcls.engine import reduction
from ppcls.loss import SINGLE_LABEL, build_loss
from ppcls.utils import distributed


def as_rank(monkeypatch, rank, count):
    monkeypatch.setenv("PADDLE_TRAINER_ID", str(rank))
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", str(count))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("length", [1, 2, 13, 24])
def test_shares_are_in_order_and_have_as_many_batches(monkeypatch, count, length):
    items, numbers, together = list(range(length)), set(), []
    for rank in range(count):
        as_rank(monkeypatch, rank, count)
        batches = distributed.split_by_rank(items, 4)
        numbers.add(len(batches))
        assert all(len(batch) <= 4 for batch in batches)
        together += [item for batch in batches for item in batch]
    assert together == items
    assert len(numbers) == 1


def test_more_processes_cut_the_same_batches(monkeypatch):
    whole = DistributedBatchSampler(12, shuffle=True, length=50, seed=3).batches(epoch=1)
    for count in (2, 3, 4):
        parts = [
            DistributedBatchSampler(12 // count, shuffle=True, length=50, seed=3, num_replicas=count, rank=rank)
            for rank in range(count)
        ]
        for number, batch in enumerate(whole):
            assert np.array_equal(np.concatenate([part.batches(epoch=1)[number] for part in parts]), batch)


@pytest.mark.parametrize(
    "loss",
    [
        {"CELoss": {"epsilon": 0.1}},
        {"CELoss": {"class_weights": [1.0, 2.0, 5.0], "weight": 0.5}},
        {"BCELoss": {}},
        {"FocalLoss": {}},
        {"AsymmetricLossSingleLabel": {"weight": 2.0}},
        {"MultiLabelLoss": {"size_sum": True, "weight_ratio": True}},
        {"MultiLabelAsymmetricLoss": {"weight": 0.5}},
    ],
)
def test_losses_by_sample_add_up_to_the_loss(loss):
    rng = np.random.default_rng(0)
    logits, labels = paddle.to_tensor(rng.normal(size=(11, 3)).astype("float32")), rng.integers(0, 3, 11)
    criterion = build_loss([loss], 3, label_ratio=np.array([0.1, 0.5, 0.9]))
    if SINGLE_LABEL not in criterion.losses[0].label_kinds:
        labels = rng.integers(0, 2, (11, 3)).astype("float32")
    kept = reduction.SampleLosses(criterion.names, 11)
    for order in (np.array([7, 0, 3, 9]), np.array([1, 2, 4, 5, 6, 8, 10])):
        kept.add(order, criterion.per_sample(logits[order], paddle.to_tensor(labels[order])))
    (name,), (loss,) = criterion.names, criterion.losses
    expected = loss(logits, paddle.to_tensor(labels)).item() * loss.weight
    assert kept.means() == pytest.approx({name: expected, "loss": expected}, rel=1e-6)
    exchanged = reduction.GradientReducer(paddle.nn.Identity()).reduce_losses(
        criterion, logits, paddle.to_tensor(labels), 11
    )
    ((losses_sum, weights_sum),) = exchanged.sums.tolist()
    assert losses_sum / weights_sum == pytest.approx(kept.means()[name], rel=1e-6)
    assert exchanged.local_loss.item() == pytest.approx(expected, rel=1e-6)


def test_one_process_needs_no_others():
    distributed.init("cpu")
    assert distributed.sync_errors(None, 3, 0) == [3, 0]
    assert distributed.all_gather("x") == ["x"]
    assert distributed.run_on_main(lambda: 5) == 5
    assert list(distributed.synchronized([0, None, 2])) == [0, None, 2]
    distributed.wait_until(lambda: False)
    with pytest.raises(ValueError, match="mine"):
        distributed.sync_errors(ValueError("mine"))
