"""An HTTP server for an exported model: ``ppcls serve``. See docs/serving.md."""

from __future__ import annotations

import importlib

from ppcls.serving.settings import Settings
from ppcls.utils.extras import missing_extra

__all__ = ["Settings", "require_packages", "serve"]

_NEEDS = ("python_multipart", "prometheus_client", "uvicorn", "fastapi")  # FastAPI imports the first itself


def require_packages() -> None:
    """Import the packages of the extra ``serve``.

    Raises:
        MachineError: one is missing.
    """
    for name in _NEEDS:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise missing_extra("serve", name, "serving", error) from None


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C; return 0, or 1 when requests were lost at the end.

    Raises:
        MachineError: a package of the extra ``serve`` is missing, or the port cannot be had.
        DataError: the model cannot be opened.
    """
    require_packages()
    from ppcls.serving.runner import run

    return run(settings)
