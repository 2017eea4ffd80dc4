"""ONNX models run with what ``requirements-serve.txt`` installs: no Paddle, nothing of what only training needs."""

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from packaging.requirements import Requirement

from tests.helpers.deploy_files import DEPLOY, last, manifest, requirements
from tests.helpers.exports import answers
from tests.helpers.recipes import ROOT

# Runs ppcls with an importer that has only the packages that are allowed.
_RUN = """
import importlib.abc, runpy, sys
hidden = set(sys.argv.pop(1).split(","))
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"{name} is not in requirements-serve.txt", name=name)
sys.meta_path.insert(0, Hidden())
runpy.run_module("ppcls", run_name="__main__", alter_sys=True)
"""


def closure(names):
    """Return the distributions that these bring, themselves included."""
    found, rest = set(), list(names)
    while rest:
        name = rest.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                rest.append(requirement.name)
    return found


def modules(distribution):
    """Return the names that a distribution can be imported by."""
    parts = {path.parts[0].partition(".")[0] for path in distribution.files or [] if path.suffix in (".py", ".so")}
    return {part for part in parts if part.isidentifier()}


@pytest.fixture(scope="module")
def hidden():
    """Return what can be imported here, and would not be with ``requirements-serve.txt`` alone."""
    names = requirements("requirements-serve.txt")
    for name in names:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"needs {name}, of requirements-serve.txt")
    allowed, shown, others = closure(names), set(), set()
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"].lower().replace("_", "-")
        (shown if name in allowed else others).update(modules(distribution))
    found = others - shown - {"ppcls"}
    assert {"paddle", "visualdl", "safetensors"} <= found
    return found


def without(hidden, *arguments, **options):
    """Start ppcls where ``hidden`` cannot be imported."""
    command = [sys.executable, "-c", _RUN, ",".join(sorted(hidden)), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_the_deployments_server_runs_without_paddle(hidden, models, digits):
    (container,) = manifest("serving.yaml", "Deployment")["spec"]["template"]["spec"]["containers"]
    words = [str(models / "inference") if word == "/model" else word for word in container["args"]]
    words = ["--port=0" if word.startswith("--port") else word for word in words if not word.startswith("--drain")]
    server = without(hidden, "serve", *words, "--drain=0.1", PPCLS_API_KEY="secret")
    try:
        line = server.stdout.readline()
        assert line.startswith("serving ConvMixer at http://"), server.stderr.read()
        port = int(line.rpartition(":")[2])
        paths = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
        for path in [*paths, "/metrics"]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
                assert answer.status == 200
        check = last(DEPLOY / "docker" / "serve.Dockerfile", "HEALTHCHECK").partition("CMD ")[2]
        _, *check = json.loads(check.replace("8000", str(port)))
        assert subprocess.run([sys.executable, *check], check=False).returncode == 0
        picture = digits / "val" / "000.png"
        headers = {"X-API-Key": "secret", "Content-Type": "image/png"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", picture.read_bytes(), headers)
        with urllib.request.urlopen(request) as answer:
            (result,) = json.load(answer)["results"]
        (expected,) = answers(models / "inference" / "inference.onnx", [picture])
        assert result["class_ids"] == expected["class_ids"]
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
        assert subprocess.run([sys.executable, *check], stderr=subprocess.DEVNULL, check=False).returncode != 0
    finally:
        server.kill()
        server.communicate()


def test_infer_runs_without_paddle(hidden, models, digits):
    model, picture = models / "inference" / "inference.onnx", digits / "val" / "000.png"
    process = without(hidden, "infer", model, picture)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    (expected,) = answers(model, [picture])
    assert json.loads(output)[0]["class_ids"] == expected["class_ids"]
