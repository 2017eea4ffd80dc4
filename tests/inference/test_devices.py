"""Where exported models compute. What needs a GPU is not tested: these tests say what happens where there is none."""

import json
import shutil

import paddle
import pytest
import yaml

from ppcls import Predictor
from ppcls.errors import ConfigError, MachineError
from ppcls.inference.backends.devices import Device
from tests.helpers.recipes import ROOT

onnxruntime = pytest.importorskip("onnxruntime", reason='needs pip install ".[onnx]"')
for_processors = pytest.mark.skipif(
    paddle.device.is_compiled_with_cuda() or "CUDAExecutionProvider" in onnxruntime.get_available_providers(),
    reason="for machines whose runtimes are built for CPUs",
)


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("auto", Device("auto")),
        ("cpu", Device("cpu")),
        ("gpu", Device("gpu", 0)),
        ("gpu:0", Device("gpu", 0)),
        ("gpu:11", Device("gpu", 11)),
    ],
)
def test_devices_have_names(name, device):
    assert Device.parse(name) == device
    assert Device.parse(str(device)) == device


@pytest.mark.parametrize(
    "name", ["", "GPU", "cuda", "gpu:", "gpu:-1", "gpu:1.5", "gpu 1", "cpu:0", "auto:1", "gpu:1\n", "gpu:٣", None, 0]
)
def test_other_names_are_refused(models, name):
    with pytest.raises(ConfigError, match="must be auto, cpu, gpu"):
        Predictor(models / "inference", device=name)


@for_processors
@pytest.mark.parametrize("backend", ["paddle", "onnx"])
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_both_runtimes_compute_on_the_cpu(models, backend, device):
    predictor = Predictor(models / "inference", backend=backend, device=device)
    assert (predictor.backend, predictor.device) == (backend, "cpu")


@for_processors
def test_a_gpu_that_no_runtime_can_use_is_refused_with_what_to_install(models):
    with pytest.raises(MachineError) as refused:
        Predictor(models / "inference", device="gpu")
    assert "gpu:0: the backend paddle cannot use it: this PaddlePaddle" in str(refused.value)
    assert "gpu:0: the backend onnx cannot use it: this ONNX Runtime" in str(refused.value)
    assert "put onnxruntime-gpu in its place" in str(refused.value)


@for_processors
@pytest.mark.parametrize("backend", ["paddle", "onnx"])
def test_a_gpu_that_this_runtime_cannot_use_is_refused(models, backend):
    with pytest.raises(MachineError, match=f"^device gpu:3: the backend {backend} cannot use it: [^;]*built for CPUs"):
        Predictor(models / "inference", backend=backend, device="gpu:3")


@for_processors
def test_onnx_runtime_that_takes_the_cpu_in_silence_is_found_out(models, monkeypatch, caplog):
    # As onnxruntime-gpu does where the driver, CUDA or the GPU is missing: the session is there, without CUDA.
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"), pytest.raises(MachineError, match="finds no GPU"):
        Predictor(models / "inference", backend="onnx", device="gpu")
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"), caplog.at_level("WARNING", "ppcls"):
        assert Predictor(models / "inference", backend="onnx").device == "cpu"


@for_processors
def test_a_model_for_processors_is_not_run_on_a_gpu(models, tmp_path):
    shutil.copytree(models / "inference", tmp_path / "model")
    file = tmp_path / "model" / "inference.yml"
    values = yaml.safe_load(file.read_text())
    values["Model"]["precision"] = "bfloat16"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(MachineError, match="exported with --bf16, for processors"):
        Predictor(tmp_path / "model", backend="paddle", device="gpu")
    # The ONNX model beside it is in float32, and would run on one.
    with pytest.raises(MachineError, match="the backend onnx cannot use it: this ONNX Runtime"):
        Predictor(tmp_path / "model", device="gpu")


@for_processors
def test_the_faster_runtime_is_taken_where_both_are_there(models, tmp_path):
    assert Predictor(models / "inference").backend in ("onnx", "openvino")
    shutil.copytree(models / "inference", tmp_path / "model", ignore=shutil.ignore_patterns("*.onnx"))
    values = yaml.safe_load((tmp_path / "model" / "inference.yml").read_text())
    values["Model"]["files"] = {name: digest for name, digest in values["Model"]["files"].items() if "onnx" not in name}
    (tmp_path / "model" / "inference.yml").write_text(yaml.safe_dump(values))
    assert Predictor(tmp_path / "model").backend == "paddle"


def test_a_model_in_bfloat16_is_run_by_paddle_which_can(models, tmp_path):
    shutil.copytree(models / "inference", tmp_path / "model")
    values = yaml.safe_load((tmp_path / "model" / "inference.yml").read_text())
    values["Model"]["precision"] = "bfloat16"
    (tmp_path / "model" / "inference.yml").write_text(yaml.safe_dump(values))
    predictor = Predictor(tmp_path / "model")
    assert (predictor.backend, predictor.device) == ("paddle", "cpu")


def test_models_of_paddle_3_are_not_given_to_paddle_2_which_would_crash(models, monkeypatch):
    if not (models / "inference" / "inference.json").is_file():
        pytest.skip("the models are of PaddlePaddle 2")
    monkeypatch.setattr(paddle, "__version__", "2.6.2")
    with pytest.raises(MachineError, match=r"inference\.json: written by PaddlePaddle 3, which this 2\.6\.2 cannot"):
        Predictor(models / "inference", backend="paddle")


def test_a_runtime_that_cannot_be_loaded_is_passed_over_and_said(models, tmp_path, digits, run):
    for name in ("onnxruntime", "openvino"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('no such library')")
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    image = next((digits / "val").iterdir())
    done = run("infer", models / "inference", image, process=True, environment=environment)
    assert "the backend onnx cannot be loaded: no such library; reinstall onnxruntime; " in done.stderr
    assert "so the backend is paddle" in done.stderr
    assert "by the backend paddle on cpu" in done.stderr
    done = run("infer", models / "inference", image, "--backend", "onnx", process=True, environment=environment, code=2)
    assert "error: the backend onnx cannot be loaded: no such library" in done.stderr


@for_processors
@pytest.mark.parametrize("backend", ["paddle", "onnx"])
def test_commands_take_a_device(models, digits, run, backend):
    image, given = next((digits / "val").iterdir()), (models / "inference", "--backend", backend)
    done = run("infer", *given, image, "--device", "cpu")
    assert len(json.loads(done.stdout)) == 1
    assert f"by the backend {backend} on cpu" in done.stderr
    refused = f"device gpu:0: the backend {backend} cannot use it"
    assert refused in run("infer", *given, image, "--device", "gpu", code=2).stderr
    assert refused in run("serve", *given, "--port", "0", "--device", "gpu", code=2).stderr
    assert "must be auto, cpu, gpu" in run("serve", *given, "--port", "0", "--device", "cuda", code=2).stderr


@for_processors
def test_a_checkpoint_takes_a_device(models, digits, run):
    image, checkpoint = next((digits / "val").iterdir()), models / "out"
    assert len(json.loads(run("infer", checkpoint, image, "--device", "cpu").stdout)) == 1
    for device, message in (
        ("gpu", "Global.device=gpu: not usable here (this PaddlePaddle"),
        ("gpu:1", "CUDA_VISIBLE_DEVICES"),
        ("gpux", "device 'gpux': must be auto, cpu, gpu"),
        ("gpu:0", "Global.device=gpu: not usable here"),
    ):
        done = run("infer", checkpoint, image, "--device", device, code=2)
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    done = run("infer", checkpoint, image, "--device", "cpu", "-o", "Global.device=cpu", code=2)
    assert "leave one of them out" in done.stderr
    assert "--device belongs to" in run("infer", "-c", models / "recipe.yaml", "--device", "cpu", code=2).stderr


@for_processors
def test_the_evaluation_of_an_export_uses_the_recipes_device(models, run):
    command = ("eval", "-c", models / "recipe.yaml", "--model", models / "inference")
    done = run(*command, "--backend", "onnx", "-o", "Global.device=cpu")
    assert "by the backend onnx on cpu" in done.stderr
    for backend in ("paddle", "onnx"):
        done = run(*command, "--backend", backend, "-o", "Global.device=gpu", code=2)
        assert f"device gpu:0: the backend {backend} cannot use it" in done.stderr
