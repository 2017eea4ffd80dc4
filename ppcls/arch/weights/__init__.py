"""Weight files: any format and naming in, checked before anything is changed."""

from ppcls.arch.weights.loading import LoadReport, load_weights
from ppcls.arch.weights.naming import Naming
from ppcls.arch.weights.reading import read_weights
from ppcls.arch.weights.unpickling import restricted_load

__all__ = ["LoadReport", "Naming", "load_weights", "read_weights", "restricted_load"]
