"""Weight files: any format and naming in, checked before anything is changed."""

from ppcls.utils import environment

environment.import_paddle()  # also for those who import this package directly

from ppcls.weights.factory import create_model
from ppcls.weights.image_size import image_size_of
from ppcls.weights.loading import LoadReport, load_weights
from ppcls.weights.name_scheme import NameScheme
from ppcls.weights.paddle_reader import restricted_load
from ppcls.weights.reader import read_weights, require_finite

__all__ = [
    "LoadReport",
    "NameScheme",
    "create_model",
    "image_size_of",
    "load_weights",
    "read_weights",
    "require_finite",
    "restricted_load",
]
