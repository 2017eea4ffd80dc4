"""What the server relies on in uvicorn beyond its documented interface: a new version that changes it fails here."""

import ast
import asyncio
import contextlib
import inspect
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import uvicorn
from uvicorn.protocols.http import h11_impl
from uvicorn.protocols.http.h11_impl import H11Protocol

from ppcls.serving import http_protocol, runner
from tests.helpers.recipes import ROOT

# The methods that are overridden or called through super(), with the names of their parameters.
PROTOCOL_METHODS = {
    "connection_made": ["self", "transport"],
    "data_received": ["self", "data"],
    "connection_lost": ["self", "exc"],
    "pause_writing": ["self"],
    "resume_writing": ["self"],
    "shutdown": ["self"],
    "send_400_response": ["self", "msg"],
}
SERVER_METHODS = {
    "startup": ["self", "sockets"],
    "shutdown": ["self", "sockets"],
    "serve": ["self", "sockets"],
    "capture_signals": ["self"],
}


@pytest.mark.parametrize(
    ("kind", "name", "parameters"),
    [
        *((H11Protocol, *method) for method in PROTOCOL_METHODS.items()),
        *((uvicorn.Server, *method) for method in SERVER_METHODS.items()),
    ],
    ids=lambda value: getattr(value, "__name__", None if isinstance(value, list) else value),
)
def test_the_methods_take_what_ours_take(kind, name, parameters):
    assert list(inspect.signature(getattr(kind, name)).parameters) == parameters


def overridden(module, base):
    """Return the names of the base's attributes that a module's subclasses of it define."""
    tree = ast.parse(Path(module.__file__).read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.bases]
    return {item.name for node in classes for item in node.body if hasattr(item, "name") and hasattr(base, item.name)}


def test_the_tables_here_are_complete():
    """Everything that is overridden is a method of uvicorn's, and is in the tables above."""
    assert overridden(http_protocol, H11Protocol) - {"__init__"} == set(PROTOCOL_METHODS)
    assert overridden(runner, uvicorn.Server) - {"__init__"} == set(SERVER_METHODS) - {"serve"}


def test_the_state_of_a_connection_has_the_attributes_that_are_read():
    async def scenario():
        config = uvicorn.Config(app=lambda: None, lifespan="off", log_config=None)
        config.load()
        state = uvicorn.server.ServerState()
        protocol = http_protocol.protocol_class(1.0, lambda status: None)(
            config=config, server_state=state, app_state={}
        )
        for name in ("conn", "cycle", "loop", "transport", "timeout_keep_alive_task"):
            assert hasattr(protocol, name), name
        assert protocol.cycle is None
        assert protocol.timeout_keep_alive_task is None
        assert protocol.connections is state.connections
        assert state.connections == state.tasks == set()

    asyncio.run(scenario())
    assert "response_complete" in inspect.getsource(h11_impl.RequestResponseCycle.__init__)
    assert "self.send_400_response(" in inspect.getsource(H11Protocol.handle_events)


def test_the_state_of_a_server_has_the_attributes_that_are_read():
    config = uvicorn.Config(app=lambda: None, http=http_protocol.protocol_class(1.0, print), lifespan="off")
    server = uvicorn.Server(config)
    assert server.should_exit is server.force_exit is False
    config.load()
    assert issubclass(config.http_protocol_class, H11Protocol)
    assert hasattr(config.lifespan_class(config), "state")
    assert isinstance(server.capture_signals(), contextlib.AbstractContextManager)
    for name in ("self.servers", "self.lifespan.startup", "http_protocol_class"):
        assert name in inspect.getsource(uvicorn.Server.startup), name


def test_the_installed_version_is_one_that_was_tested():
    """Its bounds are the same wherever they are written."""
    files = ["pyproject.toml", *(path.name for path in ROOT.glob("requirements-serve*.txt"))]
    bounds = {
        found for name in files for found in re.findall(r"uvicorn>=0\.(\d+),<0\.(\d+)", (ROOT / name).read_text())
    }
    ((lowest, above),) = bounds
    assert int(lowest) <= int(version("uvicorn").split(".")[1]) < int(above)
    assert all("uvicorn>=" in (ROOT / name).read_text() for name in files)
