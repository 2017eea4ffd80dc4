"""The name that recipes have for a model that Python code gave to ``ppcls.train``."""

from __future__ import annotations

from ppcls.arch.registry import BACKBONES
from ppcls.errors import ConfigError

SUPPLIED_MODEL = "SuppliedModel"


@BACKBONES.register(listed=False)
class SuppliedModel:
    """Stands in recipes for a model that Python code gave; it cannot be built from its name.

    Args:
        class_num: outputs of the model.
        class_name: the module and the name of its class.

    Raises:
        ConfigError: always: the model is not here.
    """

    def __init__(self, class_num: int = 1000, class_name: str = "") -> None:
        raise ConfigError(
            f"the model of this run was given in Python ({class_name or 'its class is not known'}), and its code is "
            f"not stored; give such a model: ppcls.load_predictor(run, model=...). To evaluate, export or serve "
            f"it, register the class (ppcls.BACKBONES.register) and train by its name (Arch.name)"
        )
