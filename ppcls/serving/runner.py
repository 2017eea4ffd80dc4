"""Run the server, from its settings to its shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import sys
from types import FrameType
from typing import Any, Iterator, List, Optional

import uvicorn

from ppcls.errors import MachineError
from ppcls.serving.app import build_app
from ppcls.serving.http_protocol import protocol_class
from ppcls.serving.model import Model
from ppcls.serving.service import Service
from ppcls.serving.settings import Settings
from ppcls.utils.logging import get_logger

_BACKLOG = 2048
_RESERVED_FILES = 128  # open files beside the connections
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(settings: Settings) -> int:
    """Serve until a signal; return 0, or 1 when requests were lost at the end.

    Raises:
        MachineError: the port cannot be had.
        DataError: the model cannot be opened.
    """
    listener = _listen(settings.host, settings.port)
    with contextlib.closing(listener):
        model = Model(settings)
        model.warm_up(settings.max_batch)
        get_logger().info("%s, by the backend %s", model.name, model.backend_label)
        return asyncio.run(_serve(settings, model, listener))


def _listen(host: str, port: int) -> socket.socket:
    """Return a bound socket; connections are refused until the server listens."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise MachineError(f"--host {host}: no such address of this machine ({error})") from None
    family, kind, protocol_number, _, address = addresses[0]
    # With the protocol's number: asyncio switches Nagle's algorithm off only for sockets that name TCP, and with the
    # algorithm every answer takes 40 ms.
    listener = socket.socket(family, kind, protocol_number)
    try:
        if sys.platform != "win32":  # there it would share a port that is in use
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        option = "--host" if error.errno == errno.EADDRNOTAVAIL else "--port"
        raise MachineError(f"{host}:{port} cannot be listened on: {error.strerror}; choose another {option}") from None
    return listener


async def _serve(settings: Settings, model: Model, listener: socket.socket) -> int:
    service = Service(model, settings)
    for name in ("uvicorn", "python_multipart"):
        logging.getLogger(name).setLevel(logging.ERROR)  # not a line for each malformed request
    service.max_connections = _raise_file_limit(settings.max_connections)
    config = uvicorn.Config(
        build_app(service),
        http=protocol_class(
            settings.read_timeout, lambda status: service.metrics.observe_request("other", status, 0.0)
        ),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=settings.keep_alive,  # type: ignore[arg-type]
        timeout_graceful_shutdown=settings.shutdown_timeout,  # type: ignore[arg-type]
    )
    server = _Server(config, service, listener)
    service.connections = server.server_state.connections
    await server.serve(sockets=[listener])
    await service.stop()
    if server.abandoned:
        get_logger().error("%d requests were given up after --shutdown-timeout", server.abandoned)
    return 1 if server.abandoned else 0


def _raise_file_limit(connections: int) -> int:
    """Raise the limit of open files as far as allowed; return how many connections the process may have."""
    if sys.platform == "win32":
        return connections
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < needed:
            get_logger().warning(
                "at most %d connections: the system allows %d open files", soft - _RESERVED_FILES, soft
            )
    return connections if soft == resource.RLIM_INFINITY else min(connections, max(1, soft - _RESERVED_FILES))


class _Server(uvicorn.Server):
    """Prints its address, and ends without losing accepted requests."""

    def __init__(self, config: uvicorn.Config, service: Service, listener: socket.socket) -> None:
        super().__init__(config)
        self.abandoned = 0
        self._service, self._listener = service, listener

    async def startup(self, sockets: Optional[List[socket.socket]] = None) -> None:
        await super().startup(sockets)
        host, port = self._listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"serving {self._service.model.name} at http://{shown}:{port}", flush=True)

    async def shutdown(self, sockets: Optional[List[socket.socket]] = None) -> None:
        """Answer everything that was accepted, then end.

        Answers end their connections from now on, while new ones are still accepted for a moment: so clients move on,
        and what is closed in the end is idle.
        """
        self._service.draining = True
        get_logger().info("shutting down: %d requests to answer", self._service.open_requests.used)
        ticks = int(self._service.settings.drain / 0.05)
        for _ in range(ticks):
            if not self.force_exit:
                await asyncio.sleep(0.05)
        await self._accept_pending()
        await super().shutdown(sockets)
        self.abandoned = max(len(self.server_state.tasks), len(self.server_state.connections))

    async def _accept_pending(self) -> None:
        """Take the connections that the system holds ready, then close the port at once: it would reset them."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        accepted: List[socket.socket] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                accepted.append(self._listener.accept()[0])
        for server in self.servers:
            server.close()
        for connection in accepted:
            await loop.connect_accepted_socket(self._new_protocol, connection)

    def _new_protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End orderly on a signal; uvicorn would kill the process by the same signal afterwards."""
        before: List[Any] = [signal.signal(number, self._handle_signal) for number in _SIGNALS]
        try:
            yield
        finally:
            for number, handler in zip(_SIGNALS, before):
                signal.signal(number, handler)

    def _handle_signal(self, number: int, _: Optional[FrameType]) -> None:
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True
