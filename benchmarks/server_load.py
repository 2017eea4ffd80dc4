"""Throughput, tail latency and memory of `ppcls serve` under load, on this machine.

    python benchmarks/server_load.py MODEL [--clients 1 8 64] [--requests 500] [--flood 10000] [--image FILE]

Starts the server as a process of its own, then asks it from this one: each number of clients with connections that
stay open; then, with ``--flood``, so many small requests at once; then clients that are slow and clients that leave.
Prints one JSON object: requests a second and the median and 99th percentile of a request's milliseconds for each
number of clients, answers by status, and the server's resident memory in MiB before, after the load, and at the end.
Client and server share the machine's cores. Without MODEL a small untrained one is made, 16 x 16 pixels, which measures
the server itself.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def head(length: int) -> bytes:
    """Return the head of a request with a body of so many bytes."""
    return f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n".encode()


class Client:
    """One connection that is kept open; raw, so that it costs little beside the server."""

    def __init__(self, host: str, port: int, body: bytes) -> None:
        self._host, self._port = host, port
        head = (
            f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._streams: Tuple[asyncio.StreamReader, asyncio.StreamWriter]

    async def __aenter__(self) -> Client:
        self._streams = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._streams[1].close()

    async def ask(self) -> int:
        """Return the status of one request."""
        reader, writer = self._streams
        writer.write(self._request)
        await writer.drain()
        received = await reader.readuntil(b"\r\n\r\n")
        found = LENGTH.search(received)
        await reader.readexactly(int(found.group(1)) if found else 0)
        return int(received[9:12])


class Server:
    """The server's process."""

    def __init__(self, process: subprocess.Popen, address: str) -> None:
        self.process = process
        self.host, _, port = address.removeprefix("http://").partition(":")
        self.port = int(port)

    def memory(self) -> float:
        """Return its resident memory in MiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return round(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024, 1)


@contextlib.contextmanager
def served(model: str, options: List[str]) -> Iterator[Server]:
    """Run a server for the time of a block; it must end orderly."""
    command = [sys.executable, "-m", "ppcls", "serve", model, "--port", "0", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line.startswith("serving "):
            raise SystemExit(process.wait())
        yield Server(process, line.split()[-1])
        process.send_signal(signal.SIGTERM)
        if process.wait(60) != 0:
            raise SystemExit(f"the server ended with exit code {process.returncode}")
    finally:
        process.kill()
        process.stdout.close()


def summary(seconds: List[float], codes: collections.Counter, elapsed: float) -> Dict[str, object]:
    """Return the figures of one load."""
    p50, p99 = (round(1000 * float(np.percentile(seconds, q)), 2) for q in (50, 99)) if seconds else (None, None)
    return {
        "requests/s": round(sum(codes.values()) / elapsed, 1),
        "answered/s": round(codes[200] / elapsed, 1),
        "p50 ms": p50,
        "p99 ms": p99,
        "answers": {str(code): count for code, count in sorted(codes.items())},
    }


async def steady(server: Server, body: bytes, clients: int, requests: int) -> Dict[str, object]:
    """Return the figures of clients that ask one request after the other, all answered ones timed."""
    seconds: List[float] = []
    codes: collections.Counter = collections.Counter()
    left = iter(range(requests))

    async def keep_asking() -> None:
        async with Client(server.host, server.port, body) as client:
            for _ in left:
                begun = time.perf_counter()
                code = await client.ask()
                codes[code] += 1
                if code == 200:
                    seconds.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(keep_asking() for _ in range(clients)))
    return summary(seconds, codes, time.perf_counter() - begun)


async def flood(server: Server, body: bytes, requests: int) -> Dict[str, object]:
    """Return the figures of requests that all come at once, each with a connection of its own."""
    seconds: List[float] = []
    codes: collections.Counter = collections.Counter()

    async def ask_once() -> None:
        begun = time.perf_counter()
        try:
            async with Client(server.host, server.port, body) as client:
                code = await client.ask()
        except (OSError, asyncio.IncompleteReadError) as error:
            codes[type(error).__name__] += 1
            return
        codes[code] += 1
        if code == 200:
            seconds.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(ask_once() for _ in range(requests)))
    answers = collections.Counter({str(code): count for code, count in codes.items()})
    return {**summary(seconds, codes, time.perf_counter() - begun), "answers": dict(sorted(answers.items()))}


async def hostile(server: Server, body: bytes, count: int) -> Dict[str, object]:
    """Return the figures of one good client beside clients that send slowly and clients that leave."""

    async def slow() -> None:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n"
            )
            for _ in range(20):
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.1)
            writer.close()
            await reader.read()

    async def leaving() -> None:
        for _ in range(10):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(server.host, server.port)
                writer.write(head(len(body)) + body)
                await writer.drain()
                writer.close()

    others = asyncio.gather(*(slow() for _ in range(count)), *(leaving() for _ in range(count)))
    figures = await steady(server, body, 1, 200)
    await others
    return figures


def raise_open_files() -> None:
    """Let this process open a connection for each request of a flood, if the system does."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def make_model(folder: Path) -> str:
    """Export a small untrained model; return its folder."""
    import ppcls

    model = ppcls.create_model("ConvMixer", class_num=10, dim=16, depth=2, kernel_size=3, patch_size=4)
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(folder=folder))
    import paddle

    paddle.save(model.state_dict(), f"{folder}/weights.pdparams")
    ppcls.export(ppcls.load_config(str(recipe), [f"Global.pretrained_model={folder}/weights"]))
    return f"{folder}/inference"


RECIPE = """
Global:
  device: cpu
  epochs: 1
  image_shape: [3, 16, 16]
  output_dir: {folder}/out
  save_inference_dir: {folder}/inference
Arch: {{name: ConvMixer, class_num: 10, dim: 16, depth: 2, kernel_size: 3, patch_size: 4}}
Optimizer: {{name: SGD, lr: {{name: ConstLR, learning_rate: 0.1}}}}
Infer:
  transforms:
  - DecodeImage: {{}}
  - ResizeImage: {{size: 16}}
  - NormalizeImage: {{order: ''}}
  - ToCHWImage:
  PostProcess: {{name: Topk, topk: 5}}
"""


async def measure(server: Server, body: bytes, options: argparse.Namespace) -> Dict[str, object]:
    """Return all figures."""
    warm_up = await steady(server, body, 8, 100)
    if warm_up["answered/s"] == 0:
        raise SystemExit(f"no request was answered with 200: {warm_up['answers']}")
    result: Dict[str, object] = {"memory before": server.memory()}
    for clients in options.clients:
        result[f"{clients} clients"] = await steady(server, body, clients, options.requests)
    result["memory after"] = server.memory()
    if options.flood:
        result[f"{options.flood} at once"] = await flood(server, body, options.flood)
        result["memory after the flood"] = server.memory()
    result["beside slow and leaving clients"] = await hostile(server, body, options.hostile)
    await asyncio.sleep(1)
    result["memory at the end"] = server.memory()
    return result


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", help="exported model")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--requests", type=int, default=500, help="for each number of clients")
    parser.add_argument("--flood", type=int, default=10_000, metavar="N", help="requests at once; 0 for none")
    parser.add_argument("--hostile", type=int, default=50, metavar="N", help="slow clients, and as many that leave")
    parser.add_argument("--image", type=Path, help="photo to send; default: noise of 32 x 32 pixels")
    parser.add_argument("--serve", default="", metavar="OPTIONS", help="further options of ppcls serve, in one string")
    options = parser.parse_args()
    raise_open_files()
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    body = options.image.read_bytes() if options.image else cv2.imencode(".jpg", noise)[1].tobytes()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or make_model(Path(folder))
        with served(model, options.serve.split()) as server:
            figures = asyncio.run(measure(server, body, options))
    print(json.dumps({"model": options.model or "small ConvMixer, 16 px", "bytes": len(body), **figures}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
