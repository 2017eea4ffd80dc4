"""Which gradients a backward pass is asked for, and what it needs for them.

``paddle.grad(y, [x])`` computes the gradients by ``x`` alone. A ``PyLayer`` must then return None for its other inputs,
else Paddle raises an error, but it is not told that only some are asked for. So backward passes are observed here.
Those that would crash are refused before they begin.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
import threading
from typing import Any, Dict, FrozenSet, Iterator, List, Optional, Sequence, Tuple, Union

import paddle
from paddle.autograd import PyLayer

from ppcls.errors import ConfigError, TrainingError

_PADDLE_2 = paddle.__version__.startswith("2.")
# Of the backward pass in this thread: the ``search`` of a call of paddle.grad, and whether a tensor ``was_changed``.
_here = threading.local()

_CHANGED = (
    "a tensor that the backward pass needs was changed in place after the forward pass: call backward() first, or "
    "change a copy"
)


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
        self._operators: List[Tuple[int, List[int]]] = []  # of the CPU: its node, and those of its inputs
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
            if current.name() in _operator_names():
                self._operators.append((current.node_ptr(), [one.node_ptr() for one in before]))
            pending.pop()

    def leads(self, pointer: int) -> bool:
        """Return whether a target is the node at ``pointer``, or before it."""
        return self._leads.get(pointer, False)

    @property
    def finds_operators(self) -> bool:
        """Whether CPU operators computed the outputs."""
        return bool(self._operators)

    @property
    def runs_operators(self) -> bool:
        """Whether gradients of CPU operators are computed."""
        return any(self.leads(node) for node, _ in self._operators)

    @property
    def is_partial(self) -> bool:
        """Whether a CPU operator is asked for the gradients by some of its inputs."""
        return any(self.leads(node) and not all(map(self.leads, before)) for node, before in self._operators)


class Kept:
    """Tensors that an operator keeps for its backward pass; what is rounded and None may be among them.

    Paddle tells for its own operators whether a tensor was changed meanwhile; for a ``PyLayer`` it does not.
    """

    def __init__(self, *values: Any) -> None:
        self._values, self._versions = values, _versions(values)

    def get(self) -> Tuple[Any, ...]:
        """Return them.

        Raises:
            TrainingError: one was changed in place after the forward pass.
        """
        if _versions(self._values) != self._versions:
            _here.was_changed = True
            raise TrainingError(_CHANGED)
        return self._values


def _versions(values: Sequence[Any]) -> List[int]:
    return [value.inplace_version for value in values if isinstance(value, paddle.Tensor)]


class Edges:
    """Where the gradients of an operator's inputs go; made in its forward pass, asked in its backward pass.

    It holds addresses of the graph's nodes, and not the maps, so that their memory can be freed.

    Args:
        inputs: of the operator, in order; None for one that is left out.
    """

    def __init__(self, *inputs: Optional[paddle.Tensor]) -> None:
        self._edges = tuple(map(_edge, inputs))

    def wanted(self) -> Tuple[bool, ...]:
        """Return for each input whether the backward pass that runs needs its gradient."""
        search: Optional[_Search] = getattr(_here, "search", None)
        if search is None:
            return tuple(edge is not None for edge in self._edges)
        return tuple(edge is not None and search.leads(_address(edge)) for edge in self._edges)

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
def _operator_names() -> FrozenSet[str]:
    """Return what Paddle calls the nodes of the CPU operators."""
    ours = [one.__name__ for one in PyLayer.__subclasses__() if one.__module__.startswith(f"{__package__}.")]
    suffix = "_backward" if _PADDLE_2 else ""
    return frozenset(f"GradNodePyLayer_{name}{suffix}" for name in ours)


@functools.cache
def observe() -> None:
    """Observe backward passes from now on."""
    eager = paddle.base.core.eager
    differentiate, run_all = eager.run_partial_grad, eager.run_backward

    @functools.wraps(differentiate)
    def run_partial_grad(outputs: Any, inputs: Any, *rest: Any) -> Any:
        search = _Search(outputs, inputs, rest[-1] or ())  # the last: tensors at which gradients end
        if rest[2] and paddle.is_grad_enabled():
            _refuse_second_order(search)
        if _PADDLE_2 and search.is_partial:  # it crashes where a PyLayer returns None
            raise ConfigError(
                "with Paddle 2, the CPU operators cannot serve paddle.grad by some tensors: set PPCLS_CPU_OPS=plain"
            )
        with _running(search):
            return differentiate(outputs, inputs, *rest)

    @functools.wraps(run_all)
    def run_backward(tensors: Any, gradients: Any, retain_graph: bool = False, *rest: Any) -> Any:
        if retain_graph and _Search(tensors, (), ()).finds_operators:
            raise ConfigError(
                "the CPU operators cannot run backward(retain_graph=True): Paddle crashes in the second pass. Leave it "
                "out and add up the losses, call paddle.grad(..., retain_graph=True), or set PPCLS_CPU_OPS=plain"
            )
        with _running(None):  # all gradients, also inside of a call of paddle.grad: recomputation does that
            return run_all(tensors, gradients, retain_graph, *rest)

    eager.run_partial_grad, eager.run_backward = run_partial_grad, run_backward


def _refuse_second_order(search: _Search) -> None:
    if search.runs_operators:
        raise ConfigError(
            "the CPU operators have no gradients of gradients (create_graph=True): set PPCLS_CPU_OPS=plain, which "
            "computes by Paddle's own operators; of these, too, not all have them"
        )


@contextlib.contextmanager
def _running(search: Optional[_Search]) -> Iterator[None]:
    """Run a backward pass, which may be inside of another."""
    before = getattr(_here, "search", None)
    _here.search, _here.was_changed = search, False
    try:
        yield
    except Exception:
        if not _here.was_changed:
            raise
        raise TrainingError(_CHANGED) from None  # Paddle makes an OSError of it, with a C++ trace
    finally:
        _here.search = before
