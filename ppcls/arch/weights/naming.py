"""How a weight file's tensor names become ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable, Match, Optional, Sequence, Tuple, Union

Replacement = Union[str, Callable[[Match], str], None]

# PyTorch's buffers of a batch norm under Paddle's names.
_BUFFERS = {"running_mean": "_mean", "running_var": "_variance"}


@dataclass(frozen=True)
class Naming:
    """One way to name a family's tensors.

    Attributes:
        source: whose naming it is, for messages.
        rules: (pattern of a whole name, our name), the first match counts; None keeps the name as it is.
        torch: PyTorch's layout: projections are [out, in] and batch norms have ``running_mean`` and ``running_var``.
        dropped: pattern of names that hold no weights.
    """

    source: str
    rules: Sequence[Tuple[str, Replacement]]
    torch: bool = False
    # A counter that PyTorch's batch norm uses only when it has no momentum.
    dropped: str = r".*\bnum_batches_tracked"

    def drops(self, name: str) -> bool:
        """Return whether the tensor called ``name`` is knowingly left out."""
        return re.fullmatch(self.dropped, name) is not None

    def rename(self, name: str) -> Optional[str]:
        """Return our name for ``name``; None if this naming does not know it."""
        if self.torch:
            head, dot, leaf = name.rpartition(".")
            name = head + dot + _BUFFERS.get(leaf, leaf)
        for pattern, replacement in self.rules:
            match = re.fullmatch(pattern, name)
            if match is None:
                continue
            if replacement is None:
                return name
            return replacement(match) if callable(replacement) else match.expand(replacement)
        return None

    def share(self, names: Sequence[str]) -> float:
        """Return which part of ``names`` this naming knows, from 0 to 1."""
        known = [self.drops(name) or self.rename(name) is not None for name in names]
        return sum(known) / max(len(known), 1)
