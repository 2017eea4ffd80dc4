"""``ppcls serve``."""

from __future__ import annotations

import argparse
import os
import signal
from typing import TYPE_CHECKING, Any, Dict, get_type_hints

from ppcls.commands import served_model
from ppcls.commands.command import Command, add_import_option, import_components, import_paddle
from ppcls.utils.paths import user_path

if TYPE_CHECKING:
    import dataclasses

_KEY = "PPCLS_API_KEY"


def _add_options(parser: argparse.ArgumentParser) -> None:
    import dataclasses

    from ppcls.serving import Settings

    hints = get_type_hints(Settings)
    model_help = "folder of a run or checkpoint, which are exported if need be; folder of an export; .onnx file"
    parser.add_argument("model", metavar="MODEL", help=model_help)
    add_import_option(parser)
    for option in dataclasses.fields(Settings):
        if "help" not in option.metadata:
            continue
        name = "--" + option.name.replace("_", "-")
        shown = "" if option.default in (None, False, ()) else f" (default: {option.default})"
        default = [] if option.default == () else option.default
        parser.add_argument(
            name, default=default, help=option.metadata["help"] + shown, **_kind(option, hints[option.name])
        )


def _kind(option: dataclasses.Field, hint: Any) -> Dict[str, Any]:
    """Return the arguments by which argparse knows an option's type."""
    if hint is bool:
        return {"action": "store_true"}
    if option.default == ():
        return {"action": "append", "metavar": "ORIGIN"}
    numbers = [kind for kind in (int, float) if kind is hint or kind in getattr(hint, "__args__", ())]
    return {"type": numbers[0], "metavar": "N"} if numbers else {"metavar": option.name.upper()}


def _end_at_once(number: int, _: Any) -> None:
    # Not KeyboardInterrupt: libraries that are being loaded turn it into an ImportError of their own.
    os.write(2, b"stopped\n")  # sys.stderr may be redirected meanwhile
    os._exit(128 + number)


def _run(options: argparse.Namespace) -> int:
    import dataclasses

    from ppcls.serving import Settings, require_packages, serve
    from ppcls.utils import environment

    values = {option.name: getattr(options, option.name) for option in dataclasses.fields(Settings)}
    values["cors"] = tuple(values["cors"])
    if values["api_key"] is None:
        values["api_key"] = os.environ.get(_KEY)
    settings = Settings(**values)
    _end_at_once_on_signals()
    require_packages()
    environment.prepare()
    model = user_path(options.model)
    if served_model.is_trained(model):
        import_paddle()
        import_components(options)
        with served_model.interruptible():
            exported = served_model.export_of(model, settings.backend)
        _end_at_once_on_signals()
        return serve(dataclasses.replace(settings, model=str(exported)))
    import_components(options)
    return serve(settings)


def _end_at_once_on_signals() -> None:
    """Let signals end the process until the server listens, with its own handlers."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the first process of a container has no default for SIGTERM
        signal.signal(number, _end_at_once)


COMMAND = Command("serve", "answer HTTP requests with a run or an export, and a page to try it", _add_options, _run)
