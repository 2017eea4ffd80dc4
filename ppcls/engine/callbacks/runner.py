"""Calls the callbacks of a run, and turns what they raise into an error of all processes."""

from __future__ import annotations

import difflib
import inspect
import json
import sys
import traceback
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence

from ppcls.errors import CallbackError, ConfigError, PpclsError
from ppcls.registry import suggest
from ppcls.utils import distributed
from ppcls.utils.logging import get_logger

if TYPE_CHECKING:
    from ppcls.engine.run import Run

_STATE = ("state_dict", "load_state_dict")
HOOKS = ("on_train_begin", "on_step", "on_epoch", "on_eval", "on_save", "on_train_end")
_METHODS = (*HOOKS, "close", *_STATE)


class CallbackRunner:
    """The callbacks of a run, called as one.

    An error of a callback does not keep the others from being called: they may wait for other processes. It waits for
    ``take_error``, so that the state can be saved before it ends the run; only where there is nothing to save, at the
    beginning and at the end, it is raised at once.

    Args:
        callbacks: in the order in which they are called.

    Raises:
        ConfigError: one has no method of a callback, or one with a name that is never called.
    """

    def __init__(self, callbacks: Sequence[Any]) -> None:
        self._callbacks = dict(zip(_unique_names(callbacks), callbacks))
        for name, callback in self._callbacks.items():
            check_callback(name, callback)
        self._hooks = {
            hook: [(name, getattr(one, hook)) for name, one in self._callbacks.items() if _has(one, hook)]
            for hook in HOOKS
        }
        self._error: Optional[PpclsError] = None

    def on_train_begin(self, run: Run) -> None:
        """Call the callbacks' ``on_train_begin``; a collective that raises their error."""
        self._call("on_train_begin", run)
        distributed.sync_errors(self.take_error())

    def on_step(self, run: Run) -> None:
        """Call the callbacks' ``on_step``."""
        self._call("on_step", run)

    def on_epoch(self, run: Run) -> None:
        """Call the callbacks' ``on_epoch``."""
        self._call("on_epoch", run)

    def on_eval(self, run: Run) -> None:
        """Call the callbacks' ``on_eval``."""
        self._call("on_eval", run)

    def on_save(self, run: Run) -> None:
        """Call the callbacks' ``on_save``."""
        self._call("on_save", run)

    def on_train_end(self, run: Run) -> None:
        """Call the callbacks' ``on_train_end``; a collective that raises their error."""
        self._call("on_train_end", run)
        distributed.sync_errors(self.take_error())

    def close(self) -> None:
        """Let every callback release what it holds; errors are logged."""
        for name, callback in self._callbacks.items():
            if not _has(callback, "close"):
                continue
            try:
                callback.close()
            except Exception as error:  # noqa: BLE001  the run's own end or error is what the user has to see
                get_logger().error("%s", _describe_error(name, "close", error, callback))

    @property
    def failed(self) -> bool:
        """Return whether a callback has failed since the last ``take_error``."""
        return self._error is not None

    def wrap_steps(self, wrap: Callable[[str, Callable[[Run], None]], Callable[[Run], None]]) -> Callable[[], None]:
        """Call what ``wrap(name, on_step)`` returns instead of each ``on_step``; return what ends that."""
        original = self._hooks["on_step"]
        self._hooks["on_step"] = [(name, wrap(name, function)) for name, function in original]

        def unwrap() -> None:
            self._hooks["on_step"] = original

        return unwrap

    def take_error(self) -> Optional[PpclsError]:
        """Return the first error since the last call, None if there was none."""
        error, self._error = self._error, None
        return error

    def state_dict(self) -> Dict[str, Any]:
        """Return the states of the callbacks that have one, by name; a collective.

        Raises:
            CallbackError: a callback raised, or its state is nothing that JSON holds.
        """
        states = {}
        with distributed.errors_on_all_ranks():
            for name, callback in self._callbacks.items():
                if not _has(callback, "state_dict"):
                    continue
                try:
                    state = callback.state_dict()
                    _require_json(state)
                except Exception as error:
                    raise _describe_error(name, "state_dict", error, callback) from error
                if state:
                    states[name] = state
        return states

    def load_state_dict(self, states: Mapping[str, Any]) -> None:
        """Give each callback what ``state_dict`` returned for it.

        Raises:
            CallbackError: a callback raised.
        """
        for name, state in states.items():
            callback: Any = self._callbacks.get(name)
            if not _has(callback, "load_state_dict"):
                get_logger().warning("the checkpoint has the state of a callback that is not here: %s", name)
                continue
            try:
                callback.load_state_dict(state)
            except Exception as error:
                raise _describe_error(name, "load_state_dict", error, callback) from error

    def _call(self, hook: str, run: Run) -> None:
        for name, function in self._hooks[hook]:
            try:
                function(run)
            except (Exception, SystemExit) as error:  # noqa: BLE001  code of anybody's
                described = _describe_error(name, hook, error, self._callbacks[name])
                get_logger().debug("%s", described, exc_info=error)
                self._error = self._error or described


def _has(callback: Any, method: str) -> bool:
    return callable(getattr(callback, method, None))


def _unique_names(callbacks: Sequence[Any]) -> List[str]:
    """Return the name of each callback's class, numbered where there are several of one: "Upload", "Upload_2"."""
    names: List[str] = []
    for callback in callbacks:
        kind, number = type(callback).__name__, 1
        while (name := kind if number == 1 else f"{kind}_{number}") in names:
            number += 1
        names.append(name)
    return names


def check_callback(name: str, callback: Any) -> None:
    """Refuse what would be ignored or fail only later.

    Args:
        name: what to call it in messages.

    Raises:
        ConfigError: the object has no method that is called; or one whose name is misspelt, one that does not take the
            run, or only one of state_dict and load_state_dict.
    """
    methods = [method for method in dir(callback) if not method.startswith("_") and _has(callback, method)]
    for method in methods:
        if method not in _METHODS and (
            method.startswith("on_") or difflib.get_close_matches(method, _STATE, cutoff=0.8)
        ):
            raise ConfigError(f"callback {name}: {method} is never called{suggest(method, _METHODS)}")
    if not any(method in _METHODS for method in methods):
        raise ConfigError(f"callback {name}: has no method that is called (allowed: {', '.join(_METHODS)})")
    for hook in HOOKS:
        if hook in methods and not _takes_one_argument(getattr(callback, hook)):
            raise ConfigError(f"callback {name}: {hook} must take one argument, the run: def {hook}(self, run)")
    if ("state_dict" in methods) != ("load_state_dict" in methods):
        missing = "load_state_dict(self, state)" if "state_dict" in methods else "state_dict(self)"
        raise ConfigError(
            f"callback {name}: needs {missing}, too: a state is saved by one method and loaded by the other"
        )


def _takes_one_argument(method: Any) -> bool:
    try:
        inspect.signature(method).bind(None)
    except TypeError:
        return False
    except ValueError:  # a method without a signature, such as one of a C extension
        return True
    return True


def _require_json(state: Any) -> None:
    """Raise a TypeError for a state that a checkpoint would not give back as it is."""
    try:
        same = isinstance(state, dict) and json.loads(json.dumps(state, allow_nan=False)) == state
    except (TypeError, ValueError):
        same = False
    if not same:
        raise TypeError(
            "must return a dict of finite numbers, texts, lists and dicts with texts as keys, which JSON gives back as "
            f"they are, not {state!r:.80}"
        )


def _describe_error(name: str, method: str, error: BaseException, callback: Any) -> PpclsError:
    """Return an error of a callback for the user: with its name and, of other people's code, the file and line."""
    if isinstance(error, PpclsError) and type(callback).__module__.partition(".")[0] == "ppcls":
        return error  # our own callbacks say themselves what is wrong
    text = str(error) if isinstance(error, PpclsError) else f"{type(error).__name__}: {error}"
    described = CallbackError(f"callback {name}.{method}: {text} ({_location(error, callback)})")
    described.__cause__ = error
    return described


def _location(error: BaseException, callback: Any) -> str:
    """Return "file:line" of the innermost frame in the file of the callback, else of the innermost frame of all."""
    frames = traceback.extract_tb(error.__traceback__)
    file = getattr(sys.modules.get(type(callback).__module__), "__file__", None)
    frame = next((frame for frame in reversed(frames) if frame.filename == file), frames[-1])
    return f"{frame.filename}:{frame.lineno}"
