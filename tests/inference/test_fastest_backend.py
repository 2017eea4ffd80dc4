"""Which runtime ``backend: auto`` takes: measured once for a model, and kept."""

import json
import shutil

import pytest

from ppcls import Predictor
from ppcls.errors import DataError
from ppcls.inference.backends import selection
from tests.helpers.recipes import ROOT

for _name in ("openvino", "onnxruntime"):
    pytest.importorskip(_name, reason='needs pip install ".[onnx,openvino]"')
FILE = "inference_measurements.json"


@pytest.fixture
def folder(models, tmp_path):
    """Return a copy of the export, for which nothing was measured."""
    shutil.copytree(models / "inference", tmp_path / "model", ignore=shutil.ignore_patterns(FILE))
    return tmp_path / "model"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return the user's cache, which is empty."""
    monkeypatch.setenv("PPCLS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def timed(monkeypatch):
    """Let runtimes take given seconds for a batch; return these, and a list of the batch sizes that were measured."""
    seconds, sizes = {"onnx": 0.02, "openvino": 0.01}, []

    def times(backends, batch):
        sizes.append(len(batch))
        return {name: seconds[name] for name in backends}

    monkeypatch.setattr(selection, "_times", times)
    return seconds, sizes


def test_both_are_really_measured(folder):
    backend = Predictor(folder).backend
    ((entry),) = json.loads((folder / FILE).read_text())
    assert entry["values"]["backend"] == backend in ("onnx", "openvino")
    assert "onnx in float32" in entry["values"]["summary"]
    assert entry["key"]["batch_size"] == 32


@pytest.mark.parametrize("faster", ["onnx", "openvino"])
def test_the_faster_one_is_taken_and_measured_once(folder, timed, faster):
    seconds, sizes = timed
    seconds[faster] = 0.001
    predictor = Predictor(folder)
    assert predictor.backend == faster
    assert " (images/s at batch 1 / " in predictor.backend_label
    assert f"{faster} in float32 1000 / " in predictor.backend_label
    assert f", measured now, kept in {folder / FILE})" in predictor.backend_label
    seconds[faster] = 1.0  # what is kept decides
    predictor = Predictor(folder)
    assert predictor.backend == faster
    assert f", measured before: {folder / FILE})" in predictor.backend_label
    assert sizes == [1, 32 if faster == "onnx" else 20]


def test_another_thread_count_batch_size_or_version_measures_anew(folder, timed, monkeypatch):
    _, sizes = timed
    for options in ({}, {"threads": 2}, {"batch_size": 8}, {"threads": 2}, {"batch_size": 8}):
        Predictor(folder, **options)
    assert sizes == [1, 20, 1, 20, 1, 8]
    monkeypatch.setattr(selection, "_version", lambda name: "0.0.1")
    Predictor(folder)
    assert sizes[6:] == [1, 20]
    assert len(json.loads((folder / FILE).read_text())) == 4


def test_a_slow_model_is_measured_with_fewer_images(folder, timed):
    seconds, sizes = timed
    seconds["onnx"] = 3.0
    Predictor(folder)
    assert sizes == [1]


def test_single_files_are_kept_in_the_users_cache(folder, timed, home):
    file = folder / "inference.onnx"
    for path in (file, shutil.copy(file, folder.parent / "moved.onnx")):
        assert Predictor(path).backend == "openvino"
    assert len(timed[1]) == 2  # the moved file is the same model
    assert [path.parent.name for path in home.rglob("*.json")] == ["measurements"]
    assert not (folder / FILE).exists()


def test_a_folder_that_cannot_be_written_is_left_alone(folder, timed, home):
    (folder / FILE).mkdir()  # as a read-only folder, also for root
    for _ in range(2):
        assert Predictor(folder).backend == "openvino"
    assert len(timed[1]) == 2
    assert len(list(home.rglob("*.json"))) == 1


def test_where_nothing_can_be_kept_the_log_says_so(folder, timed, home):
    (folder / FILE).mkdir()
    home.write_text("a file")
    predictor = Predictor(folder)
    assert predictor.backend == "openvino"
    assert "measured now, and at each start, since it cannot be kept" in predictor.backend_label


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"key": 1, "values": {}}]', "{}"])
def test_damaged_measurements_are_made_anew(folder, timed, caplog, content):
    (folder / FILE).write_text(content)
    assert Predictor(folder).backend == "openvino"
    assert f"{FILE}: damaged; it is written anew" in caplog.text
    assert len(json.loads((folder / FILE).read_text())) == 1


def test_the_digests_of_the_export_do_not_cover_measurements(folder, digits):
    image = digits / "val" / "000.png"
    Predictor(folder)
    (folder / FILE).write_text("anything")
    for backend in ("paddle", "onnx", "openvino"):
        assert "scores" in Predictor(folder, backend).predict(image)[0]


def test_a_runtime_that_fails_is_not_measured(folder, timed, monkeypatch, caplog):
    def fail(*_):
        raise DataError("no such operator")

    monkeypatch.setattr("ppcls.inference.backends.openvino.OpenvinoBackend.__init__", fail)
    assert Predictor(folder).backend == "onnx"
    assert "the backends are not measured: no such operator" in caplog.text
    assert not (folder / FILE).exists()


def test_only_openvino_is_installed(folder, tmp_path, run, digits):
    (tmp_path / "paddle.py").write_text("raise ImportError('not here')")
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('not here')")
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    image = next((digits / "val").iterdir())
    done = run("infer", folder, image, process=True, environment=environment)
    assert "the backends are not measured: the backend onnx cannot be loaded: not here" in done.stderr
    assert "by the backend openvino on cpu in float32" in done.stderr
