"""Published weights and weights at URLs: fetched once, converted once, and what is said where they cannot be had."""

import dataclasses
import hashlib
import os
import re

import numpy as np
import paddle
import pytest

from ppcls.arch import registry, spec
from ppcls.errors import WeightsError
from ppcls.weights import create_model, read_weights
from ppcls.weights.factory import local_weights
from ppcls.weights.names import name_schemes_of
from ppcls.weights.published import download_weights, public_weights
from tests.weights.download_server import QUICK
from tests.weights.torch_files import Weights


@pytest.fixture
def published(server, tmp_path):
    """Return a variant's facts with weights on the server, and the model that they are of."""
    model = create_model("ConvMixer_256_8", class_num=10)
    naming = next(naming for naming in name_schemes_of(model) if naming.source == "timm")
    names, weights, state = naming.restore(list(model.state_dict())), Weights(), {}
    for ours, tensor in model.state_dict().items():
        state[names[ours]] = tensor.numpy().T if ours == "head.weight" else tensor.numpy()
    weights.save(tmp_path / "w.pth", {"state_dict": weights.state(state), "epoch": 3}, legacy=True)
    server.content = (tmp_path / "w.pth").read_bytes()
    sha256 = hashlib.sha256(server.content).hexdigest()[:8]
    return dataclasses.replace(spec("ConvMixer_256_8"), url=server.url, sha256=sha256), model


def test_published_weights(server, home, published):
    facts, model = published
    for _ in range(2):
        path = public_weights(facts, QUICK)
        assert path == home / "weights" / "model.pth.tar.safetensors"
    assert len(server.requests) == 1
    begun = path.stat().st_mtime_ns
    other = create_model("ConvMixer_256_8", class_num=10, pretrained=path)
    assert all(np.array_equal(a, b) for a, b in zip(other.state_dict().values(), model.state_dict().values()))
    # Another file by the same name is converted anew, if it is the right one.
    original = home / "weights" / "model.pth.tar"
    os.utime(original)
    assert public_weights(facts, QUICK).stat().st_mtime_ns > begun
    original.write_bytes(original.read_bytes() + b" ")
    with pytest.raises(WeightsError, match=r"its sha256 is .* delete it, or get"):
        public_weights(facts, QUICK)


def test_urls_everywhere(server, home, published, recipe, run):
    _, model = published
    other = create_model("ConvMixer_256_8", class_num=3, pretrained=server.url, drop_mismatched_head=True)
    np.testing.assert_array_equal(other.stem.conv.weight.numpy(), model.stem.conv.weight.numpy())
    cached = local_weights("ConvMixer", server.url)
    assert cached.parent == home / "weights"
    assert re.fullmatch(r"[0-9a-f]{8}-model\.pth\.tar\.safetensors", cached.name)
    net = create_model("ConvMixer", dim=16, depth=2, kernel_size=3, patch_size=4, class_num=10)
    paddle.save(net.state_dict(), str(home / "w.pdparams"))
    server.content = (home / "w.pdparams").read_bytes()
    url = server.url.replace("model.pth.tar", "tiny.pdparams")
    for key in ("Arch.pretrained", "Global.pretrained_model"):
        done = run("eval", "-c", recipe, "-o", f"{key}={url}", environment={"PPCLS_HOME": str(home)})
        assert "loaded 32 tensors (ppcls names)" in done.stdout + done.stderr


def test_what_is_fetched_must_be_weights(server, home):
    with pytest.raises(WeightsError, match=r"not a known format[^$]*It was fetched from http://127.* delete it"):
        download_weights(server.url, QUICK)


def test_without_a_network(home, published):
    facts, model = published
    facts = dataclasses.replace(facts, url="http://127.0.0.1:9/files/w.pdparams", sha256=None)
    with pytest.raises(WeightsError, match=r"cannot be downloaded.*Without a network, fetch that file") as caught:
        public_weights(facts, QUICK)
    place = home / "weights" / "w.pdparams"
    assert str(caught.value).endswith(f"put it at {place}")
    paddle.save(model.state_dict(), str(place))
    assert set(read_weights(public_weights(facts, QUICK))) == set(model.state_dict())


@pytest.mark.parametrize(
    ("way", "message", "tries"),
    [
        ("unreachable", "Connection refused", 3),
        ("cut", "the connection ended after", 3),
        ("page", "sends a web page instead of weights", 1),
        ("page as a file", "sends a web page instead of weights", 1),
        (404, "the server answers 404 Not Found", 1),
        (403, "the server answers 403 Forbidden", 1),
        (503, "the server answers 503", 3),
    ],
)
def test_published_weights_that_cannot_be_had(server, home, recipe, run, monkeypatch, way, message, tries):
    """The command ends soon, with one line per attempt and what to do; what is in the way stays no file."""
    facts = dataclasses.replace(spec("ConvMixer_256_8"), url="http://weights.test/w.pth", sha256=None)
    monkeypatch.setitem(registry._SPECS, "ConvMixer_256_8", facts)
    monkeypatch.setattr("ppcls.weights.published.RetryPolicy", lambda: QUICK)
    server.always, server.etag = way, None
    if way == "page as a file":
        server.always, server.content = "well", b"\n<!DOCTYPE html><html>log in</html>"
    proxy = "http://127.0.0.1:9" if way == "unreachable" else f"http://127.0.0.1:{server.server_port}"
    environment = {"PPCLS_HOME": str(home), "http_proxy": proxy, "no_proxy": "", "NO_PROXY": ""}
    arch = "Arch={name: ConvMixer_256_8, class_num: 10, pretrained: true}"
    for command in ("train", "eval"):
        done = run(command, "-c", recipe, "-o", arch, environment=environment, code=2)
        lines = [line for line in done.stderr.splitlines() if message in line]
        assert len(lines) == tries, done.stderr
        assert all(f"attempt {index} of 3 failed" in line for index, line in enumerate(lines[:-1], start=1))
        last = done.stderr[done.stderr.index("error: ") :]
        place = home / "weights" / "w.pth"
        assert "http://weights.test/w.pth: " in last
        assert f"fetch that file elsewhere and put it at {place}" in last
        assert "-o Arch.pretrained=false" in last
        assert not place.exists()
    # What is put there by hand is used.
    model = create_model("ConvMixer_256_8", class_num=10)
    paddle.save(model.state_dict(), str(place))
    done = run("eval", "-c", recipe, "-o", arch, environment=environment)
    assert "loaded" in done.stderr


def test_urls_of_files_with_several_copies(server, home, tmp_path):
    """Which one is taken depends on the key, so that no copy of it is kept."""
    model = create_model("ConvMixer", dim=8, depth=1, patch_size=4, class_num=3)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    paddle.save(
        {"ema": model.state_dict(), "model": {n: t * 0 for n, t in model.state_dict().items()}}, str(tmp_path / "w")
    )
    server.content = (tmp_path / "w").read_bytes()
    for key, factor in ((None, 1), ("model", 0), ("ema", 1)):
        other = create_model(
            "ConvMixer", dim=8, depth=1, patch_size=4, class_num=3, pretrained=server.url, weights_key=key
        )
        for name, tensor in other.state_dict().items():
            np.testing.assert_array_equal(tensor.numpy(), state[name] * factor)
    assert len(server.requests) == 1
    assert not list((home / "weights").glob("*.safetensors"))
