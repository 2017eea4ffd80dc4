"""Weights of another image size or number of channels, made to fit."""

from __future__ import annotations

import math
from typing import Optional, Tuple

import numpy as np

Grid = Tuple[int, int]
_RIDGE = 0.1


def adapt_in_channels(weight: np.ndarray, in_channels: int) -> np.ndarray:
    """Return a first convolution's weight [out, c, h, w] for another number of image channels.

    One channel gets the sum over all, which answers a grey image as before; more are repeated in order and scaled
    by c / in_channels, which keeps the size of the answer. Source: timm, ``adapt_input_conv``.
    """
    channels = weight.shape[1]
    if in_channels == 1:
        return weight.sum(axis=1, keepdims=True)
    return weight[:, np.arange(in_channels) % channels] * (channels / in_channels)


def interpolation(source: int, target: int) -> np.ndarray:
    """Return the matrix [target, source] of a bilinear resize along one axis; its rows sum to one.

    Cells are compared by their centres; the filter widens when the axis shrinks, so that every cell counts.
    """
    centres = (np.arange(target) + 0.5) * source / target - 0.5
    distance = np.abs(centres[:, None] - np.arange(source)) / max(1.0, source / target)
    weights = np.maximum(0.0, 1.0 - distance)
    return weights / weights.sum(axis=1, keepdims=True)


def inverse_interpolation(source: int, target: int) -> np.ndarray:
    """Return the matrix [source, target] that undoes a bilinear resize along one axis; its rows sum to one.

    It is the regularized least-squares inverse, as a plain one amplifies noise. Source for the idea: FlexiViT,
    https://arxiv.org/abs/2212.08013 (section 3.4).
    """
    forward = interpolation(source, target)
    inverse = np.linalg.solve(forward.T @ forward + _RIDGE * np.eye(source), forward.T)
    return inverse / inverse.sum(axis=1, keepdims=True)


def grid_interpolation(source: Grid, target: Grid) -> np.ndarray:
    """Return the matrix [tokens of target, tokens of source] of a bilinear resize of a map, rows first."""
    return np.kron(interpolation(source[0], target[0]), interpolation(source[1], target[1]))


def resize_spatial_weight(weight: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """Return a projection over tokens for another grid, its inputs and its outputs resized.

    It computes what the original does on a map of ``source``, from which the one at hand was resized to ``target``, and
    resizes the result.

    Args:
        weight: [tokens in, tokens out] of ``source``.
    """
    before = np.kron(*(inverse_interpolation(old, new) for old, new in zip(source, target)))
    return before.T @ weight @ grid_interpolation(source, target).T


def resize_spatial_bias(bias: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """Return a value per token, [tokens of source], for another grid."""
    return grid_interpolation(source, target) @ bias


def likely_grid(tokens: int, like: Grid) -> Optional[Grid]:
    """Return the grid that weights for ``tokens`` were made for: a square, else one of the proportions of ``like``.

    None if neither has that many tokens.
    """
    side = math.isqrt(tokens)
    if side * side == tokens > 0:
        return side, side
    rows = math.isqrt(tokens * like[0] // like[1])
    for height in (rows, rows + 1):
        if height and tokens % height == 0 and height * like[1] == tokens // height * like[0]:
            return height, tokens // height
    return None
