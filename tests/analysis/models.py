"""Tiny models of all families, and pictures whose class is a patch somewhere."""

import numpy as np
import paddle
import paddle.nn.functional as F

from ppcls.weights import create_model

SIDE = 64
FAMILIES = {
    "ConvMixer": {"dim": 16, "depth": 2, "kernel_size": 3, "patch_size": 8},
    "gMLP": {"dim": 24, "depth": 2, "mlp_ratio": 2, "patch_size": 16, "image_size": SIDE},
    "ConvMLP": {"blocks": [1], "dims": [24], "mlp_ratios": [2], "channels": 8, "conv_blocks": 1},
    "CycleMLP": {"layers": [1, 1], "embed_dims": [16, 24], "mlp_ratios": [2, 2]},
}
_ROWS, _COLUMNS = np.mgrid[:16, :16] // 2 % 2 * 2 - 1.0
_TEXTURES = (_ROWS, _COLUMNS, _ROWS * _COLUMNS)  # stripes, stripes across, and a chessboard


def tiny(name, class_num=3):
    """Return a tiny model of a family; always the same weights."""
    paddle.seed(1)
    return create_model(name, class_num=class_num, **FAMILIES[name])


def patches(count, seed):
    """Return normalized pictures [N, 3, 64, 64] of weak noise with a patch in one quadrant, class ids, and quadrants.

    The class is the texture and colour of the patch; the quadrant, 0 to 3 row by row, says nothing about it.
    """
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 0.3, (count, 3, SIDE, SIDE)).astype(np.float32)
    class_ids, quadrants = rng.integers(0, 3, count), rng.integers(0, 4, count)
    for image, class_id, quadrant in zip(images, class_ids, quadrants):
        top, left = (int(part) * SIDE // 2 + 8 for part in divmod(quadrant, 2))
        image[:, top : top + 16, left : left + 16] += _TEXTURES[class_id]
        image[class_id, top : top + 16, left : left + 16] += 1
    return images, class_ids, quadrants


def trained_on_patches(name):
    """Return a model of a family, trained until it tells most patches apart."""
    model = tiny(name)
    model.train()
    optimizer = paddle.optimizer.AdamW(5e-3, parameters=model.parameters(), weight_decay=0.05)
    for step in range(80 if name == "ConvMLP" else 20):
        images, class_ids, _ = patches(16, step)
        targets = F.label_smooth(F.one_hot(paddle.to_tensor(class_ids), 3), epsilon=0.1)
        loss = F.cross_entropy(model(paddle.to_tensor(images)), targets, soft_label=True)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
    model.eval()
    return model
