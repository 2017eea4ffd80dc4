"""The section ``sampler`` of one side of ``DataLoader``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ppcls.config.fields import ComponentSection, Text


class Sampler(ComponentSection):
    """Which samples make a batch; batch_size is per device."""

    name: Annotated[Text, Field(description="A registered sampler.")] = "DistributedBatchSampler"

    @property
    def batch_size_key(self) -> str:
        """Return the argument that says how many images a process takes per step."""
        return "batch_size" if "batch_size" in self.arguments else "first_bs"

    @property
    def batch_size(self) -> int:
        """Return how many images a process takes per step; of several image sizes, at the first."""
        return int(self.arguments[self.batch_size_key])
