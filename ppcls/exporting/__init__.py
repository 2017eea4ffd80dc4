"""A trained model as files for Paddle Inference and ONNX Runtime, with everything needed to use them."""

from typing import TYPE_CHECKING

from ppcls.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from ppcls.exporting.evaluation import evaluate_export
    from ppcls.exporting.exporter import export
    from ppcls.exporting.options import Options
    from ppcls.inference.agreement import TOLERANCES

__all__ = ["TOLERANCES", "Options", "evaluate_export", "export"]
__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "TOLERANCES": "ppcls.inference.agreement",
        "Options": "ppcls.exporting.options",
        "evaluate_export": "ppcls.exporting.evaluation",
        "export": "ppcls.exporting.exporter",
    },
)
