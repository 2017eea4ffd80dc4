"""Whole models for the tests of the CPU operators."""

import numpy as np
import paddle

from ppcls.weights import create_model

# A variant, its smaller image, and arguments that follow from that.
MODELS = {
    "ConvMixer_256_8": (32, {}),
    "ConvMLP_S": (32, {}),
    "CycleMLP_B1": (64, {}),
    "gMLP_Ti16": (64, {"image_size": 64}),
}


def model_and_images(name, **changes):
    size, arguments = MODELS[name]
    paddle.seed(1)
    model = create_model(name, class_num=7, **arguments, **changes)
    images = np.random.default_rng(2).standard_normal((2, 3, size, size)).astype("float32")
    return model, paddle.to_tensor(images)
