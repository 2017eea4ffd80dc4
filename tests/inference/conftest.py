"""Predictors of the exported model, and what they answer."""

import pytest

from ppcls import Predictor


@pytest.fixture(scope="module")
def expected(models, digits):
    """Return what Paddle answers on the validation images, one by one, without threads."""
    one = Predictor(models / "inference", "paddle", batch_size=1, decode_workers=0)
    return [one.predict(path)[0] for path in sorted((digits / "val").iterdir())]


@pytest.fixture(scope="module", params=["paddle", "onnx", "openvino", "self-contained"])
def predictor(request, models):
    """Return a predictor on each runtime, and on the ONNX model that normalizes by itself."""
    if request.param == "openvino":
        pytest.importorskip("openvino", reason='needs pip install ".[openvino]"')
    if request.param == "self-contained":
        return Predictor(models / "inference" / "inference_self_contained.onnx", batch_size=7)
    return Predictor(models / "inference", backend=request.param, batch_size=7)
