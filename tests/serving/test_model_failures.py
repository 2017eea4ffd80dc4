"""A model that fails, gives nonsense or hangs: a real one, into whose runs the faults are injected."""

import asyncio
import contextlib
import dataclasses
import logging
import threading

import httpx
import numpy as np
import pytest

from ppcls.serving import Settings


@pytest.fixture(scope="module")
def faulty(exported):
    """Return an application, and its model, whose next run and decoding do what ``fault`` and ``decoding`` say."""
    from ppcls.serving.app import build_app
    from ppcls.serving.model import Model
    from ppcls.serving.service import Service

    class Faulty(Model):
        fault = staticmethod(lambda scores: scores)
        decoding = staticmethod(lambda: None)

        def run(self, batch):
            return self.fault(super().run(batch))

        def prepare(self, data):
            self.decoding()
            return super().prepare(data)

    settings = Settings(model=str(exported), timeout=0.4)
    model = Faulty(settings)

    @contextlib.asynccontextmanager
    async def opened(**changes):
        service = Service(model, dataclasses.replace(settings, **changes))
        transport = httpx.ASGITransport(build_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client, service
        await service.stop()

    return opened, model


@contextlib.contextmanager
def fault(model, function):
    model.fault = function
    try:
        yield
    finally:
        model.fault = lambda scores: scores


@pytest.fixture
def logged():
    """Return what the package logs, as it comes."""
    messages = []

    class Kept(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    handler = Kept()
    logging.getLogger("ppcls").addHandler(handler)
    yield messages
    logging.getLogger("ppcls").removeHandler(handler)


async def until(condition):
    """Return when the condition has come true."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come true")


def broken(_):
    raise MemoryError("the model needs more")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (broken, "MemoryError: the model needs more"),
        (lambda scores: scores * np.nan, "the model's scores are not finite"),
        (lambda scores: scores[:, :0].T, "the model answered 1 images with an array of shape"),
    ],
)
def test_failures_are_logged_under_an_id_and_the_server_lives_on(faulty, photo, logged, function, reason):
    opened, model = faulty

    async def scenario():
        async with opened() as (client, _):
            with fault(model, function):
                for path in ("/predict", "/saliency"):
                    answer = await client.post(path, files={"a": ("a.png", photo)})
                    assert answer.status_code == 500
                    assert reason not in answer.text
                    lines = [message for message in logged if answer.json()["id"] in message]
                    assert len(lines) == 1
                    assert reason in lines[0]
            assert (await client.get("/ready")).status_code == 200
            assert (await client.post("/predict", files={"a": ("a.png", photo)})).status_code == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("function", [broken, lambda scores: scores * np.nan])
def test_a_model_that_only_fails_is_told_until_it_answers_again(faulty, photo, function):
    opened, model = faulty
    files = {"a": ("a.png", photo)}

    async def scenario():
        async with opened() as (client, _):
            with fault(model, function):
                for _ in range(5):
                    assert (await client.get("/ready")).status_code == 200
                    assert (await client.post("/predict", files=files)).status_code == 500
                for path in ("/ready", "/health"):
                    answer = await client.get(path)
                    assert answer.status_code == 503
                    assert "the model failed 5 times in a row" in answer.text
            assert (await client.post("/predict", files=files)).status_code == 200
            for path in ("/ready", "/health"):
                assert (await client.get(path)).status_code == 200

    asyncio.run(scenario())


def test_a_model_that_hangs_is_told_and_the_server_is_not_ready(faulty, photo):
    opened, model = faulty
    go = threading.Event()

    def hang(scores):
        go.wait(20)
        return scores

    async def scenario():
        async with opened() as (client, service):
            with fault(model, hang):
                answer = await client.post("/predict", files={"a": ("a.png", photo)})
                assert answer.status_code == 503
                assert answer.json()["error"] == "no answer within 0.4 s; try again later"
                waiting = await client.post("/predict", files={"a": ("a.png", photo)})
                assert waiting.status_code == 503
                ready = await client.get("/ready")
                assert ready.status_code == 503
                assert "the model has not answered for 0.4 s" in ready.json()["error"]
                assert (await client.get("/health")).status_code == 200
                await until(lambda: service.liveness_problem() is not None)
                for method in ("GET", "HEAD"):
                    assert (await client.request(method, "/health")).status_code == 503
                assert "the model has not answered for 1.2 s" in (await client.get("/health")).json()["error"]
            go.set()
            await until(lambda: service.readiness_problem() is None and not service.batcher.queue_length)
            for path in ("/ready", "/health"):
                for method in ("GET", "HEAD"):
                    assert (await client.request(method, path)).status_code == 200
            assert (await client.post("/predict", files={"a": ("a.png", photo)})).status_code == 200
            assert service.requests.used == service.images.used == service.memory.used == 0

    asyncio.run(scenario())


def test_a_model_that_is_gone_is_told(faulty, photo):
    opened, _ = faulty

    async def scenario():
        async with opened() as (client, service):
            await service.batcher.stop()
            assert (await client.get("/ready")).json() == {"error": "the model is not running"}
            assert (await client.post("/predict", files={"a": ("a.png", photo)})).status_code == 500
            assert (await client.get("/health")).status_code == 503

    asyncio.run(scenario())


def test_images_on_which_all_decoders_are_stuck_are_told(faulty, photo):
    opened, model = faulty
    go = threading.Event()

    async def scenario():
        async with opened(decode_threads=2) as (client, service):
            model.decoding = lambda: go.wait(20)
            try:
                one = asyncio.ensure_future(client.post("/predict", files={"a": ("a.png", photo)}))
                assert (await one).status_code == 503
                assert (await client.get("/ready")).status_code == 200  # there is another decoder
                assert (await client.post("/predict", files={"a": ("a.png", photo)})).status_code == 503
                await until(lambda: service.readiness_problem() is not None)
                ready = await client.get("/ready")
                assert ready.status_code == 503
                assert ready.json()["error"] == "all decoding threads have been busy with one image each for 0.4 s"
                assert (await client.get("/health")).status_code == 200
                await until(lambda: service.liveness_problem() is not None)
            finally:
                model.decoding = lambda: None
                go.set()
            await until(lambda: service.readiness_problem() is None)
            assert (await client.post("/predict", files={"a": ("a.png", photo)})).status_code == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("queue", "there", "images", "message"),
    [(2, 2, 1, "the server is full (2 of 2 requests)"), (3, 1, 2, "the server is full (2 of 3 images)")],
)
def test_more_than_there_is_room_for(faulty, photo, queue, there, images, message):
    opened, model = faulty
    go = threading.Event()

    def hang(scores):
        go.wait(20)
        return scores

    async def scenario():
        files = [("a", ("a.png", photo))] * images
        async with opened(queue=queue, max_images=2, timeout=20) as (client, service):
            with fault(model, hang):
                tasks = [asyncio.ensure_future(client.post("/predict", files=files)) for _ in range(there)]
                await until(lambda: service.images.used == there * images)
                refused = await client.post("/predict", files=files)
                assert refused.status_code == 429
                assert refused.headers["retry-after"] == "1"
                assert refused.json()["error"] == f"{message}; try again later"
                for path in ("/health", "/ready"):
                    assert (await client.get(path)).status_code == 200
                go.set()
                assert [answer.status_code for answer in await asyncio.gather(*tasks)] == [200] * there
            assert service.requests.used == service.images.used == service.memory.used == 0

    asyncio.run(scenario())
