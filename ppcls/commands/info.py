"""``ppcls info``: what a bug report needs."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import ppcls
from ppcls.commands.command import Command, to_json

_CORE = "core"
_DEVELOPMENT = "dev"
_PADDLE = ("paddlepaddle", "paddlepaddle-gpu")
_SECONDS = 120
# In a process of its own: a Paddle that does not fit its NumPy ends the process that imports it.
_PROBE = """
import json
from ppcls.utils import environment
environment.import_paddle()
import paddle
cuda = paddle.device.is_compiled_with_cuda()
count = paddle.device.cuda.device_count() if cuda else 0
print(json.dumps({
    "version": paddle.__version__,
    "built_for": "CUDA " + str(paddle.version.cuda()) if cuda else "CPU",
    "gpus": [paddle.device.cuda.get_device_name(index) for index in range(count)],
}))
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def _run(options: argparse.Namespace) -> int:
    values = collect()
    print(to_json(values) if options.json else _text(values))
    return 0


def collect() -> Dict[str, Any]:
    """Return versions, processor, devices, threads and paths, as JSON holds them."""
    import platform

    from ppcls.config.find import library
    from ppcls.utils import environment
    from ppcls.utils.paths import cache_folder

    environment.prepare()
    return {
        "ppcls": ppcls.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "paddle": _paddle(),
        "packages": _packages(),
        "processor": {
            "name": environment.processor_name(),
            "cores": environment.cores(),
            "cores_of_machine": os.cpu_count(),
            "instructions": environment.processor_instructions(),
        },
        "threads": {
            "cpu_threads": os.environ.get(environment.THREADS),
            "mkl_path": os.environ.get(environment.MKL_PATH),
            "chosen": environment.describe(),
        },
        "paths": {
            "python": sys.executable,
            "package": str(Path(ppcls.__file__).parent),
            "recipes": str(library()),
            "cache": str(cache_folder()),
        },
    }


def _paddle() -> Dict[str, Any]:
    """Return Paddle's version and devices, or {"error": why it cannot be used}."""
    import json
    import subprocess

    package = str(Path(ppcls.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), package]))
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": f"importing it fails: {error}"}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        ended = f"the process ends with code {done.returncode}"
        return {"error": f"importing it fails: {lines[-1] if lines else ended}"}
    described: Dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return described


def _packages() -> Dict[str, Dict[str, Any]]:
    """Return each package that ppcls uses: its version, None where it is not installed, and the extras that need it."""
    from importlib import metadata

    try:
        required = metadata.requires("ppcls") or []
    except metadata.PackageNotFoundError:
        required = []
    extras: Dict[str, List[str]] = {}
    for name, extra in map(_parsed, required):
        # Packages for development only are not listed.
        if extra != _DEVELOPMENT and extra not in extras.setdefault(name, []):
            extras[name].append(extra)
    extras.setdefault("numpy", [_CORE])
    extras.setdefault("opencv-python-headless", [_CORE])
    names = sorted((name for name in extras if extras[name]), key=lambda name: (_CORE not in extras[name], name))
    return {name: {"version": _version(name), "extras": extras[name]} for name in names if name not in _PADDLE}


def _parsed(requirement: str) -> Tuple[str, str]:
    """Return the package and the extra of a requirement such as 'onnx>=1.18; extra == "onnx"'."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", requirement)
    return match[0] if match else requirement, extra[1] if extra else _CORE


def _version(name: str) -> Any:
    from importlib import metadata

    # Packages that replace each other.
    for candidate in (name, f"{name}-gpu", name.replace("-headless", "")):
        try:
            return metadata.version(candidate)
        except metadata.PackageNotFoundError:
            continue
    return None


def _text(values: Dict[str, Any]) -> str:
    paddle, processor = values["paddle"], values["processor"]
    if "error" in paddle:
        described = [f"not usable: {paddle['error']}"]
    else:
        gpus = ", ".join(paddle["gpus"]) or "none"
        described = [f"{paddle['version']}, built for {paddle['built_for']}", f"GPUs that it finds: {gpus}"]
    instructions = ", ".join(processor["instructions"]) or "instruction sets not known"
    cores = f"{processor['cores']} of {processor['cores_of_machine']}"
    lines = [
        f"ppcls      {values['ppcls']}",
        f"Python     {values['python']}, {values['platform']}",
        f"Paddle     {described[0]}",
        *(f"           {line}" for line in described[1:]),
        f"processor  {processor['name']}, {cores} cores, {instructions}",
        f"threads    {values['threads']['chosen']}",
        *(f"{name:<10} {path}" for name, path in values["paths"].items()),
        "packages",
    ]
    for name, package in values["packages"].items():
        extras = "" if package["extras"] == [_CORE] else f" [{', '.join(package['extras'])}]"
        lines.append(f"  {name:<24} {package['version'] or 'not installed'}{extras}")
    return "\n".join(lines)


COMMAND = Command("info", "print versions, devices and paths, for bug reports", _add_options, _run)
