"""Batches, with plain functions as the model."""

import asyncio
import threading

import numpy as np
import pytest

from ppcls.serving.batcher import Batcher, ModelError


def image(value, size=2):
    return np.full((1, size, size), value, np.float32)


def value_of(batch):
    """Return the first pixel of each image: a model whose answers tell which image they belong to."""
    return batch[:, 0, 0, :1]


def with_batcher(scenario, run=value_of, max_batch=4, max_wait=0.0):
    """Run a scenario with a batcher; return the sizes of the batches that were run."""
    sizes = []

    async def main():
        batcher = Batcher(run, max_batch, max_wait, lambda size, seconds: sizes.append(size))
        try:
            await asyncio.wait_for(scenario(batcher), 20)
        finally:
            await batcher.stop()

    asyncio.run(main())
    return sizes


def test_images_that_are_there_run_together_and_keep_their_answers():
    async def scenario(batcher):
        answers = await asyncio.gather(*(batcher.submit(image(n)) for n in range(10)))
        assert [answer.scores[0] for answer in answers] == list(range(10))

    assert with_batcher(scenario) == [4, 4, 2]


def test_shapes_are_not_mixed():
    async def scenario(batcher):
        answers = await asyncio.gather(*(batcher.submit(image(n, 2 + n % 2)) for n in range(6)))
        assert [answer.scores[0] for answer in answers] == list(range(6))

    assert with_batcher(scenario) == [3, 3]


def test_a_batch_waits_for_images_that_are_being_decoded():
    async def scenario(batcher):
        batcher.preparing = 1
        first = asyncio.ensure_future(batcher.submit(image(1)))
        await asyncio.sleep(0.05)
        batcher.preparing = 0
        await asyncio.gather(first, batcher.submit(image(2)))

    assert with_batcher(scenario, max_wait=10) == [2]


def test_but_not_longer_than_asked():
    async def scenario(batcher):
        batcher.preparing = 1
        await batcher.submit(image(1))

    assert with_batcher(scenario, max_wait=0.01) == [1]


def test_background_runs_last():
    order = []

    def run(batch):
        order.append(batch[0, 0, 0, 0])
        return value_of(batch)

    async def scenario(batcher):
        await asyncio.gather(
            *(batcher.submit(image(100 + n), background=True) for n in range(3)),
            *(batcher.submit(image(n)) for n in range(3)),
        )

    with_batcher(scenario, run, max_batch=1)
    assert order == [0, 1, 2, 100, 101, 102]


def test_what_nobody_waits_for_is_not_run():
    go = threading.Event()
    ran = []

    def run(batch):
        go.wait(10)
        ran.extend(batch[:, 0, 0, 0])
        return value_of(batch)

    async def scenario(batcher):
        tasks = [asyncio.ensure_future(batcher.submit(image(n))) for n in range(4)]
        await asyncio.sleep(0.05)  # the first is in the model, the others wait
        for task in tasks[1:3]:
            task.cancel()
        await asyncio.sleep(0)
        go.set()
        assert (await tasks[3]).scores[0] == 3

    with_batcher(scenario, run, max_batch=1)
    assert ran == [0, 3]


@pytest.mark.parametrize("kind", [MemoryError, StopIteration, SystemExit])
def test_a_failing_batch_is_told_and_the_next_one_runs(kind):
    def run(batch):
        if batch[0, 0, 0, 0] == 1:
            raise kind("no room")
        return value_of(batch)

    async def scenario(batcher):
        with pytest.raises(ModelError, match=f"{kind.__name__}: no room"):
            await batcher.submit(image(1))
        assert (await batcher.submit(image(2))).scores[0] == 2

    with_batcher(scenario, run)


def test_a_batch_that_cannot_be_built_is_told_and_the_next_one_runs():
    vast = np.broadcast_to(np.float32(0), (1, 2**22, 2**22))  # takes no memory, until it is copied

    async def scenario(batcher):
        with pytest.raises(ModelError, match="MemoryError: "):
            await batcher.submit(vast)
        assert batcher.alive
        assert (await batcher.submit(image(2))).scores[0] == 2

    with_batcher(scenario)


def test_answers_that_are_no_numbers_are_errors():
    async def scenario(batcher):
        with pytest.raises(ModelError, match="TypeError"):
            await batcher.submit(image(1))
        assert batcher.alive

    with_batcher(scenario, lambda batch: np.array([["a"]], dtype=object))


@pytest.mark.parametrize("wrong", [np.zeros((3, 5)), np.zeros(1), np.zeros((1, 2, 3))], ids=str)
def test_answers_of_another_shape_are_errors(wrong):
    async def scenario(batcher):
        with pytest.raises(ModelError, match="answered 1 images with an array of shape"):
            await batcher.submit(image(1))

    with_batcher(scenario, lambda batch: wrong)


def test_only_the_image_without_finite_scores_fails():
    async def scenario(batcher):
        good, bad = await asyncio.gather(
            batcher.submit(image(1)), batcher.submit(image(np.nan)), return_exceptions=True
        )
        assert good.scores[0] == 1
        assert isinstance(bad, ModelError)

    assert with_batcher(scenario) == [2]


def test_a_model_that_hangs_is_seen_and_does_not_keep_the_process():
    go = threading.Event()

    def run(batch):
        go.wait(30)
        return value_of(batch)

    async def scenario(batcher):
        assert batcher.thread.busy_for == 0
        task = asyncio.ensure_future(batcher.submit(image(1)))
        await asyncio.sleep(0.1)
        assert batcher.thread.busy_for >= 0.05
        await batcher.stop()
        with pytest.raises(ModelError, match="stopped"):
            await task
        with pytest.raises(ModelError, match="not running"):
            await batcher.submit(image(2))

    with_batcher(scenario, run)
    go.set()
