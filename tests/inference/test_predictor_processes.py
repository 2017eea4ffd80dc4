"""Predictors in processes of their own: what they load, say, send, and need of memory."""

import ast
import json
import pickle

import pytest

from ppcls import Predictor
from tests.helpers.command_line import run_python
from tests.helpers.exports import assert_same_answers

# Nothing but what a machine has that only runs ONNX models.
_WITHOUT = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "paddle" or name.startswith(FORBIDDEN):
            raise ImportError(f"{name} must not be imported")

FORBIDDEN = tuple(f"ppcls.{part}" for part in ("arch", "config.schema", "engine", "loss", "metric", "optimizer"))
sys.meta_path.insert(0, Blocker())
"""


def test_plain_runtimes_say_nothing_while_they_load_a_model(models, digits):
    load = "import onnxruntime, sys; [onnxruntime.InferenceSession(path) for path in sys.argv[1:]]"
    assert run_python(load, *sorted((models / "inference").glob("*.onnx"))).stderr == ""
    predict = "import ppcls, sys; ppcls.Predictor(sys.argv[1], 'paddle').predict(sys.argv[2])"
    said = run_python(predict, models / "inference", digits / "val" / "000.png")
    assert (said.stdout, said.stderr) == ("", "")


def test_what_paddle_says_while_it_loads_a_model_goes_to_standard_error_but_for_one_line():
    code = """
import ctypes
from ppcls.inference.backends.paddle import _stdout_to_stderr
libc = ctypes.CDLL(None)
with _stdout_to_stderr():
    for line in (b"ReduceMeanCheckIfOneDNNSupport", b"a real error", b"ReduceMeanCheckIfOneDNNSupport failed"):
        libc.puts(line)
print("a result")
"""
    said = run_python(code)
    assert said.stdout == "a result\n"
    assert said.stderr == "a real error\nReduceMeanCheckIfOneDNNSupport failed\n"


def test_onnx_needs_neither_paddle_nor_the_training_code(models, digits, expected):
    code = (
        _WITHOUT
        + """
import json
from ppcls.inference import Predictor
print(json.dumps(Predictor(sys.argv[1], backend="auto").predict(sys.argv[2])))
assert not any(name.split(".")[0] in ("paddle", "pydantic") for name in sys.modules)
"""
    )
    for model in ("inference/inference.onnx", "inference"):
        assert_same_answers(json.loads(run_python(code, models / model, digits / "val").stdout), expected)


def test_memory_does_not_grow_with_the_number_of_images(models, digits):
    code = """
import resource, sys
import numpy as np
from ppcls import Predictor
predictor = Predictor(sys.argv[1], "onnx", batch_size=8)

def images(count):
    for _ in range(count):
        yield np.zeros((16, 16, 3), np.uint8)

for _ in predictor.stream(images(200)):
    pass
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in predictor.stream(images(6000)):
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    assert float(run_python(code, models / "inference").stdout) < 8  # MiB; the prepared images alone would be 18


def test_a_pickled_predictor_opens_its_export_in_another_process(models, expected, digits, monkeypatch):
    monkeypatch.chdir(models)
    images = sorted((digits / "val").iterdir())[:3]
    packed = pickle.dumps(Predictor("inference", "onnx", batch_size=2, topk=3))
    code = "import pickle, sys; print(pickle.loads(bytes.fromhex(sys.argv[1])).predict(sys.argv[2:]))"
    answers = ast.literal_eval(run_python(code, packed.hex(), *images).stdout)
    assert [answer["class_ids"] for answer in answers] == [answer["class_ids"][:3] for answer in expected[:3]]


@pytest.mark.parametrize(
    ("before", "after"), [("pop('ORT_DISABLE_TELEMETRY', None)", "1"), ("update(ORT_DISABLE_TELEMETRY='0')", "0")]
)
def test_onnx_runtime_sends_nothing_unless_the_user_says_so(models, before, after):
    code = (
        f"import os, sys; os.environ.{before}; import ppcls; ppcls.Predictor(sys.argv[1], 'onnx'); "
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    assert run_python(code, models / "inference").stdout.strip() == after
