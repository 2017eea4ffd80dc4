"""What happens when: training, evaluation and inference, as functions of a loaded recipe."""

from typing import TYPE_CHECKING

from ppcls.utils import environment
from ppcls.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from ppcls.engine.components import load_config
    from ppcls.engine.evaluation import evaluate
    from ppcls.engine.inference import infer
    from ppcls.engine.stages import train

environment.import_paddle()  # with care, and before a module of this package imports it without
__all__ = ["evaluate", "infer", "load_config", "train"]
__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "evaluate": "ppcls.engine.evaluation",
        "infer": "ppcls.engine.inference",
        "load_config": "ppcls.engine.components",
        "train": "ppcls.engine.stages",
    },
)
