"""How the tensor names of a weight file are translated to those of our models, and back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Match, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.errors import WeightsError

Replacement = Union[str, Callable[[Match], str], None]
# A name may depend on the others: where names are positions, the head's follows from the number of blocks.
Restoration = Union[str, Callable[[Match, Sequence[str]], str], None]

# PyTorch's buffers of a batch norm under Paddle's names.
_BUFFERS = {"running_mean": "_mean", "running_var": "_variance"}
_TORCH_BUFFERS = {paddle_name: torch_name for torch_name, paddle_name in _BUFFERS.items()}


@dataclass(frozen=True)
class NameScheme:
    """One way to name the tensors of a family.

    Attributes:
        source: whose names they are, for messages.
        rules: (pattern of the whole name, name in our model); the first match counts, and None keeps the name.
        torch: whether the layout is PyTorch's: linear weights are [out, in], and batch norms have ``running_mean`` and
            ``running_var``.
        dropped: pattern of names that hold no weights.
        inverse: (pattern of the whole name in our model, name in the source), with ``_mean`` for ``running_mean``. For
            the rules that cannot be inverted automatically: those with a function, and those that lose information.
        buffers: returns further buffers that the source has beside the weight of that name in our model, by their
            last name.
    """

    source: str
    rules: Sequence[Tuple[str, Replacement]]
    torch: bool = False
    # A counter that PyTorch's batch norm uses only when it has no momentum.
    dropped: str = r".*\bnum_batches_tracked"
    inverse: Sequence[Tuple[str, Restoration]] = ()
    buffers: Optional[Callable[[Any, str], Dict[str, np.ndarray]]] = None

    def drops(self, name: str) -> bool:
        """Return whether the tensor called ``name`` is left out on purpose."""
        return re.fullmatch(self.dropped, name) is not None

    def rename(self, name: str) -> Optional[str]:
        """Return the name in our model for ``name``; None if no rule matches."""
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

    def restore(self, names: Sequence[str]) -> Dict[str, str]:
        """Return the source's name for each of ``names``, which are all tensors of a model.

        Raises:
            WeightsError: the source has no name for one of them.
        """
        originals = {name: self._original_name(name, names) for name in names}
        if len(set(originals.values())) != len(originals):
            raise WeightsError(f"{self.source}: gives several tensors the same name")
        return originals

    def buffers_beside(self, model: Any, name: str) -> Dict[str, np.ndarray]:
        """Return the buffers beside the weight called ``name`` that strict loads of PyTorch expect, by their last name.

        Every batch norm has the number of batches that it has seen, which is not used.
        """
        if not self.torch:
            return {}
        counter = {"num_batches_tracked": np.zeros((), np.int64)} if name.endswith("._variance") else {}
        return {**counter, **(self.buffers(model, name) if self.buffers is not None else {})}

    def _original_name(self, name: str, names: Sequence[str]) -> str:
        rules: List[Tuple[str, Restoration]] = [*self.inverse]
        rules += [inverse for inverse in (_inverse_rule(*rule) for rule in self.rules) if inverse is not None]
        for pattern, restoration in rules:
            match = re.fullmatch(pattern, name)
            if match is None:
                continue
            original = name
            if restoration is not None:
                original = restoration(match, names) if callable(restoration) else match.expand(restoration)
            if self.torch:
                head, dot, leaf = original.rpartition(".")
                original = head + dot + _TORCH_BUFFERS.get(leaf, leaf)
            if self.rename(original) == name:
                return original
        raise WeightsError(f"{self.source}: has no name for {name}")

    def coverage(self, names: Sequence[str]) -> float:
        """Return the fraction of ``names`` that this naming knows, from 0 to 1."""
        known = [self.drops(name) or self.rename(name) is not None for name in names]
        return sum(known) / max(len(known), 1)


def _inverse_rule(pattern: str, replacement: Replacement) -> Optional[Tuple[str, Restoration]]:
    """Return a rule's inverse; None if it is a function, or if its pattern says more than its groups do."""
    if replacement is None:
        return pattern, None
    if callable(replacement):
        return None
    pieces = re.findall(r"\(([^()]*)\)|\\([^\w])|([\w-])|(.)", pattern, re.DOTALL)
    if any(rest for *_, rest in pieces):
        return None
    groups = [group for group, escaped, letter, _ in pieces if not escaped and not letter]
    # Our template becomes the pattern, each group where it is first used; the pattern becomes the template.
    source = ""
    order: List[str] = []
    for index, part in enumerate(re.split(r"\\(\d)", replacement)):
        if index % 2 == 0:
            source += re.escape(part)
        elif part in order:
            source += rf"\{order.index(part) + 1}"
        else:
            source += f"({groups[int(part) - 1]})"
            order.append(part)
    target, number = "", 0
    for _, escaped, letter, _ in pieces:
        if escaped or letter:
            target += escaped or letter
            continue
        number += 1
        if str(number) not in order:
            return None
        target += rf"\g<{order.index(str(number)) + 1}>"
    return source, target
