"""Top-k accuracy under the name that PaddleClas's recipes of distillation use."""

from __future__ import annotations

from typing import Optional, Sequence, Union

from ppcls.errors import ConfigError
from ppcls.metric.registry import METRICS
from ppcls.metric.topk import TopkAcc


@METRICS.register
class DistillationTopkAcc(TopkAcc):
    """The same as TopkAcc, of the model that is evaluated.

    Args:
        model_key: the name of that model in the losses of distillation.
        feature_key: "logits" or None.
        topk: one or several k.

    Raises:
        ConfigError: as for TopkAcc; or another output than the logits is asked for.
    """

    def __init__(
        self, model_key: str, feature_key: Optional[str] = None, topk: Union[int, Sequence[int]] = (1, 5)
    ) -> None:
        if feature_key not in (None, "logits"):
            raise ConfigError(f"feature_key: accuracy is that of the logits, not of {feature_key!r}; remove it")
        super().__init__(topk)
        self.model_key = model_key
