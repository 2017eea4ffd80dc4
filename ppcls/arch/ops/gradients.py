"""Which gradients a backward pass is asked for.

``paddle.grad(y, [x])`` computes the gradients by ``x`` alone. A ``PyLayer`` must then return None for its other inputs,
else Paddle raises an error, but it is not told that only some are asked for. So the calls are observed here.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
import threading
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import paddle

from ppcls.errors import ConfigError

_PADDLE_2 = paddle.__version__.startswith("2.")
_here = threading.local()  # ``search`` of the call of paddle.grad that runs in this thread


class _Search:
    """Which nodes of the graph lead to the tensors that gradients are asked for.

    Args:
        outputs: the tensors that are differentiated.
        targets: the tensors that gradients are asked for.
        barriers: tensors at which gradients end.
    """

    def __init__(
        self, outputs: Sequence[paddle.Tensor], targets: Sequence[paddle.Tensor], barriers: Sequence[paddle.Tensor]
    ) -> None:
        self._leads: Dict[int, bool] = {node.node_ptr(): False for node in _nodes(barriers)}
        self._leads.update({node.node_ptr(): True for node in _nodes(targets)})
        for node in _nodes(outputs):
            self._visit(node)

    def _visit(self, node: Any) -> None:
        """Find out about a node and all before it."""
        pending = [node]
        while pending:  # not by recursion: a chain of nodes may be long
            current = pending[-1]
            if current.node_ptr() in self._leads:
                pending.pop()
                continue
            before = [one for one in current.next_functions if one is not None]
            unknown = [one for one in before if one.node_ptr() not in self._leads]
            if unknown:
                pending += unknown
                continue
            self._leads[current.node_ptr()] = any(self._leads[one.node_ptr()] for one in before)
            pending.pop()

    def leads(self, pointer: int) -> bool:
        """Return whether a target is the node at ``pointer``, or before it."""
        return self._leads.get(pointer, False)


class Edges:
    """Where the gradients of an operator's inputs go; made in its forward pass, asked in its backward pass.

    It holds addresses of the graph's nodes, and not the maps, so that their memory can be freed.

    Args:
        inputs: of the operator, in order; None for one that is left out.
    """

    def __init__(self, *inputs: Optional[paddle.Tensor]) -> None:
        self._edges = tuple(map(_edge, inputs))

    def wanted(self) -> Tuple[bool, ...]:
        """Return for each input whether the backward pass that runs needs its gradient.

        Raises:
            ConfigError: Paddle 2 is asked for the gradients by some of them.
        """
        flags = tuple(edge is not None for edge in self._edges)
        search: Optional[_Search] = getattr(_here, "search", None)
        if search is None:
            return flags
        found = tuple(edge is not None and search.leads(_address(edge)) for edge in self._edges)
        if _PADDLE_2 and found != flags:  # it crashes where a PyLayer returns None
            raise ConfigError(
                "with Paddle 2, the CPU operators cannot serve paddle.grad by some tensors: set PPCLS_CPU_OPS=plain"
            )
        return found

    def select(self, *gradients: paddle.Tensor) -> Tuple[Optional[paddle.Tensor], ...]:
        """Return those gradients that are wanted, and None for the others, as a ``PyLayer`` returns them."""
        return tuple(gradient if needed else None for gradient, needed in zip(gradients, self.wanted()))


_Edge = Union[int, paddle.Tensor, None]  # a node's address, or a parameter: it lives anyway; None without a gradient


def _edge(x: Optional[paddle.Tensor]) -> _Edge:
    if x is None or x.stop_gradient:
        return None
    return x if x.is_leaf else int(_node(x).node_ptr())


def _address(edge: Union[int, paddle.Tensor]) -> int:
    return edge if isinstance(edge, int) else int(_node(edge).node_ptr())


def _nodes(tensors: Sequence[paddle.Tensor]) -> List[Any]:
    return [node for node in map(_node, tensors) if node is not None]


def _node(x: paddle.Tensor) -> Any:
    """Return the node of the graph that the gradient of ``x`` goes to, or None."""
    node = x.grad_fn
    if node is not None and _references_leak():
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(node))
    return node


@functools.cache
def _references_leak() -> bool:
    """Return whether ``Tensor.grad_fn`` counts one reference too many.

    As of Paddle 3.3, it does: the node is never freed, nor what its operator keeps for the backward pass.
    """
    with paddle.enable_grad():
        x = paddle.ones([1])
        x.stop_gradient = False
        y = x * 1.0
    return sys.getrefcount(y.grad_fn) > sys.getrefcount(object())


@functools.cache
def observe() -> None:
    """Observe calls of ``paddle.grad`` from now on."""
    eager = paddle.base.core.eager
    run = eager.run_partial_grad

    @functools.wraps(run)
    def run_partial_grad(outputs: Any, inputs: Any, *rest: Any) -> Any:
        with _searching(_Search(outputs, inputs, rest[-1] or ())):  # the last: tensors at which gradients end
            return run(outputs, inputs, *rest)

    eager.run_partial_grad = run_partial_grad


@contextlib.contextmanager
def _searching(search: _Search) -> Iterator[None]:
    before = getattr(_here, "search", None)
    _here.search = search
    try:
        yield
    finally:
        _here.search = before


def first_order_only() -> None:
    """Refuse to differentiate gradients of the CPU kernels again, as ``paddle.grad(..., create_graph=True)`` asks for.

    A backward pass cannot leave that to Paddle's operators: Paddle crashes on a ``paddle.grad`` within another.

    Raises:
        ConfigError: this is the backward pass of such a gradient.
    """
    if paddle.is_grad_enabled():
        raise ConfigError(
            "the CPU operators have no gradients of gradients (create_graph=True): set PPCLS_CPU_OPS=plain, which "
            "computes by Paddle's own operators; of these, too, not all have them"
        )
