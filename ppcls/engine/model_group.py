"""Several models that one optimizer trains together."""

from __future__ import annotations

from typing import Dict, Mapping, Set

import paddle

from ppcls.errors import ConfigError


class ModelGroup(paddle.nn.Layer):
    """The model that is evaluated, and others that are trained with it; a parameter's name begins with its model's.

    Args:
        student: the name of the former.
        model: the former.
        peers: the others, by name.
    """

    def __init__(self, student: str, model: paddle.nn.Layer, peers: Mapping[str, paddle.nn.Layer]) -> None:
        super().__init__()
        self.peers: Dict[str, paddle.nn.Layer] = dict(peers)
        for name, layer in {student: model, **peers}.items():
            self.add_sublayer(name, layer)

    def no_weight_decay(self) -> Set[str]:
        """Return the names of the parameters that no model wants to decay."""
        return {
            f"{name}.{parameter}"
            for name, layer in self.named_children()
            if hasattr(layer, "no_weight_decay")
            for parameter in layer.no_weight_decay()
        }

    def depth_of(self, name: str) -> int:
        """Return the depth of a parameter; the last layers of all models have the same.

        Raises:
            ConfigError: its model does not tell.
        """
        model, _, parameter = name.partition(".")
        depth: int = getattr(self, model).depth_of(parameter)
        return depth + max(self._depths.values()) - self._depths[model]

    @property
    def _depths(self) -> Dict[str, int]:
        """Return the largest depth in each model."""
        depths = {}
        for name, layer in self.named_children():
            if not hasattr(layer, "depth_of"):
                raise ConfigError(
                    f"layer_decay: {name}: {type(layer).__name__} has no depth_of; derive the class from "
                    "ppcls.arch.Backbone, which has it"
                )
            depths[name] = max(layer.depth_of(parameter) for parameter, _ in layer.named_parameters())
        return depths
