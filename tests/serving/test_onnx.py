"""The server with ONNX models, where Paddle is not installed."""

import httpx
import numpy as np
import pytest

from tests.helpers.command_line import run_ppcls
from tests.helpers.recipes import ROOT

for _name in ("onnxruntime", "paddle2onnx"):
    pytest.importorskip(_name, reason='needs pip install ".[onnx]"')


@pytest.fixture(scope="module")
def models(exported):
    """Return the folder of an export with ONNX files beside Paddle's."""
    made, target = exported.parent, exported.parent / "with_onnx"
    changes = [f"Global.pretrained_model={made}/out/latest", f"Global.save_inference_dir={target}"]
    run_ppcls("export", "-c", made / "recipe.yaml", "--self-contained", "-o", *changes, cwd=made)
    return target


def answers(server, photo):
    """Return the scores by class and the heat map for a photo."""
    files = {"a": ("a.png", photo)}
    (result,) = httpx.post(f"{server.url}/predict?topk=10", files=files).json()["results"]
    heat = httpx.post(f"{server.url}/saliency?class_id=4&grid=3", files=files).json()
    assert heat["image"].startswith("data:image/png;base64,")
    return [score for _, score in sorted(zip(result["class_ids"], result["scores"]))], np.array(heat["heat"])


def test_onnx_models_answer_as_paddles_without_paddle(start, server, models, photo, tmp_path):
    (tmp_path / "paddle.py").write_text("raise ImportError('there is no Paddle here')")
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    scores, heat = answers(server, photo)
    files = sorted(models.glob("*.onnx"))
    assert len(files) == 2
    for file in files:
        with start("--backend", "onnx", model=file, environment=environment, process=True) as running:
            got, map_of_it = answers(running, photo)
            np.testing.assert_allclose(got, scores, atol=1e-4)
            # Pixels are covered by a mean that is rounded to whole ones.
            np.testing.assert_allclose(map_of_it, heat, atol=2e-3)
