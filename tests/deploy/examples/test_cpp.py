"""``deploy/cpp``: built, and compared with Python's answers."""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest

from tests.helpers.exports import answers
from tests.helpers.recipes import ROOT

pytestmark = pytest.mark.compiler


@pytest.fixture(scope="module")
def classify(tmp_path_factory):
    """Return the path of the program; ONNXRUNTIME_ROOT in the environment says where an unpacked release is."""
    cmake = shutil.which("cmake")
    if not cmake:
        pytest.skip("needs cmake")
    folder = tmp_path_factory.mktemp("cpp")
    root = os.environ.get("ONNXRUNTIME_ROOT", "")
    configure = [cmake, "-S", str(ROOT / "deploy" / "cpp"), "-B", str(folder), f"-DONNXRUNTIME_ROOT={root}"]
    done = subprocess.run(configure, capture_output=True, text=True, check=False)
    if done.returncode and "Could not find" in done.stderr:
        pytest.skip("needs OpenCV, nlohmann-json and ONNX Runtime for C++; see deploy/cpp/README.md")
    assert done.returncode == 0, done.stderr
    build = [cmake, "--build", str(folder), "--parallel", "2"]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stdout + done.stderr
    return folder / "classify"


def test_the_program_answers_as_python(classify, self_contained, pictures):
    command = [str(classify), str(self_contained), *map(str, pictures)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["file"] for line in lines] == [str(picture) for picture in pictures]
    for line, expected in zip(lines, answers(self_contained, pictures)):
        assert [found["class_id"] for found in line["classes"]] == expected["class_ids"]
        assert [found["name"] for found in line["classes"]] == expected["label_names"]
        np.testing.assert_allclose([found["score"] for found in line["classes"]], expected["scores"], atol=1e-4)


def test_a_broken_image_does_not_stop_the_others(classify, self_contained, pictures, tmp_path):
    wrong = tmp_path / "wrong.jpg"
    wrong.write_text("no image")
    command = [str(classify), str(self_contained), str(wrong), str(pictures[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    broken, whole = map(json.loads, done.stdout.splitlines())
    assert broken == {"file": str(wrong), "error": "cannot be read, or is no image"}
    assert len(whole["classes"]) == 5


def test_what_is_no_model_is_an_error(classify, models, tmp_path):
    wrong = tmp_path / "wrong.jpg"
    wrong.write_text("no image")
    for model, message in (
        (models / "inference" / "inference.onnx", "not a self-contained model"),
        (wrong, "error: "),
    ):
        done = subprocess.run([str(classify), str(model), str(wrong)], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert message in done.stderr


def test_models_with_other_answers_are_refused(classify, self_contained, pictures, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(self_contained))
    for entry in model.metadata_props:
        if entry.key == "ppcls":
            described = json.loads(entry.value)
            entry.value = json.dumps({**described, "PostProcess": {"MultiLabelThreshOutput": {}}})
    onnx.save(model, str(tmp_path / "model.onnx"))
    command = [str(classify), str(tmp_path / "model.onnx"), str(pictures[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the answers of this model are made by MultiLabelThreshOutput" in done.stderr
