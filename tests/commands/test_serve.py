"""``ppcls serve`` as a command."""

import dataclasses
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from ppcls.serving import Settings
from tests.helpers.recipes import ROOT

for _name in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
    pytest.importorskip(_name, reason='needs pip install ".[serve]"')


def test_help_names_the_options_and_loads_nothing_heavy(run):
    text = run("serve", "--help").stdout
    for option in ("--port", "--max-batch", "--queue", "--api-key", "--cors", "--allow-urls", "--shutdown-timeout"):
        assert option in text
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ppcls", "serve", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    imported = {line.split("|")[-1].strip().split(".")[0] for line in traced.stderr.splitlines()}
    assert not {"paddle", "numpy", "cv2", "yaml", "pydantic", "fastapi", "uvicorn", "prometheus_client"} & imported
    assert "serve" in run("--help").stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--port", "99999"), "--port 99999: must be from 0 to 65535"),
        (("--max-wait", "nan"), "--max-wait nan: must be from 0 to 10"),
        (("--queue", "3"), "--max-images 32: more than --queue 3"),
        (("--max-buffer-mb", "1"), "--max-body-mb 32: more than --max-buffer-mb 1"),
        (("--api-key", " "), "--api-key (or PPCLS_API_KEY): empty"),
        (("--api-key", "key "), "--api-key (or PPCLS_API_KEY): blanks at its ends"),
        (("--api-key", "schlüssel"), "--api-key (or PPCLS_API_KEY): not only ASCII characters"),
        (("--cors", "a.example"), "--cors a.example: an origin is like"),
        (("--host", "no-such-host.invalid", "--port", "0"), "no such address of this machine"),
        (("--port", "0"), "no such folder"),
    ],
)
def test_mistakes_are_told_in_a_line(run, options, message):
    done = run("serve", "nowhere", *options, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("key", ["schlüssel", "ключ"])
def test_a_key_in_the_environment_that_no_header_carries(run, exported, key):
    done = run("serve", exported, "--port", "0", environment={"PPCLS_API_KEY": key}, code=2)
    assert "--api-key (or PPCLS_API_KEY): not only ASCII characters" in done.stderr
    assert "Traceback" not in done.stderr
    assert key not in done.stderr


def test_a_port_that_is_in_use(run, exported):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", exported, "--port", port, code=2)
    assert f"127.0.0.1:{port} cannot be listened on: Address already in use; choose another --port" in done.stderr


def test_an_address_of_another_machine(run, exported):
    done = run("serve", exported, "--host", "192.0.2.1", "--port", "0", code=2)
    reason = os.strerror(errno.EADDRNOTAVAIL)
    assert f"192.0.2.1:0 cannot be listened on: {reason}; choose another --host" in done.stderr


def test_a_damaged_model(run, exported, tmp_path):
    shutil.copytree(exported, tmp_path / "model")
    weights = next((tmp_path / "model").glob("*.pdiparams"))
    weights.write_bytes(weights.read_bytes()[:-9])
    done = run("serve", tmp_path / "model", "--port", 0, code=2)
    assert "damaged" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "python_multipart", "prometheus_client"])
def test_a_missing_package(run, tmp_path, package):
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / f"{package}.py").write_text("raise ImportError('not installed')")
    done = run("serve", "nowhere", code=2, process=True, environment={"PYTHONPATH": f"{tmp_path}/without:{ROOT}"})
    assert f"serving needs {package}" in done.stderr
    assert 'pip install ".[serve]"' in done.stderr


def test_interrupted_while_it_loads(run, tmp_path):
    """Paddle's library, interrupted while it is loaded, makes an ImportError of it; here a package does so for sure."""
    lines = ("import os, signal", "try:", "    os.kill(os.getpid(), signal.SIGINT)", "    signal.pause()")
    turned = ("except KeyboardInterrupt:", "    raise ImportError('initialization failed') from None")
    (tmp_path / "fastapi.py").write_text("\n".join(lines + turned))
    done = run("serve", "nowhere", code=130, process=True, environment={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert done.stderr == "stopped\n"


def test_another_address_and_fewer_open_files(start, photo):
    """The system's limit of open files becomes the limit of connections, with a warning."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        options = ("--max-connections", 1000, "--no-saliency", "--topk", 2)
        with start("--host", "localhost", *options, process=True) as running:
            limit = Path(f"/proc/{running.process.pid}/limits").read_text().partition("Max open files")[2]
            assert int(limit.split()[0]) >= min(1128, hard if hard > 0 else 1128)
            files = {"a": ("a.png", photo)}
            assert len(httpx.post(f"{running.url}/predict", files=files).json()["results"][0]["scores"]) == 2
            refused = httpx.post(f"{running.url}/saliency", files=files)
            assert refused.status_code == 404
            assert "--no-saliency" in refused.json()["error"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("loaded", ["nothing", "paddle"])
def test_terminated_while_it_loads_as_the_first_process_of_a_container(tmp_path, loaded):
    """Such a process has no default for SIGTERM, and Paddle's library sets its own when it is loaded."""
    alone = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("needs unshare, and the right to make name spaces")
    load = "from ppcls.utils import environment; environment.import_paddle()" if loaded == "paddle" else ""
    (tmp_path / "fastapi.py").write_text(f"import os, signal\n{load}\nos.kill(1, signal.SIGTERM)\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [*alone, sys.executable, "-m", "ppcls", "serve", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr.endswith("stopped\n")


def test_too_many_connections_are_told_but_a_busy_server_is_no_broken_one(start, photo):
    files = {"a": ("a.png", photo)}
    with start("--max-connections", 3) as running:
        port = int(running.url.rsplit(":", 1)[1])
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        refused = httpx.post(f"{running.url}/predict", files=files)
        assert refused.status_code == 503
        assert refused.json() == {"error": "the server is full (4 connections, at most 3); try again later"}
        assert refused.headers["retry-after"] == "1"
        for path in ("health", "ready", "metrics"):
            assert httpx.get(f"{running.url}/{path}").status_code == 200
        assert 'ppcls_requests_total{code="503",path="/predict"} 1.0' in httpx.get(f"{running.url}/metrics").text
        for connection in waiting:
            connection.close()
        assert httpx.post(f"{running.url}/predict", files=files).status_code == 200


def test_the_documentation_has_every_option_and_its_default():
    page = (ROOT / "docs" / "serving.md").read_text()
    for option in dataclasses.fields(Settings):
        if "help" not in option.metadata:
            continue
        name = "--" + option.name.replace("_", "-")
        assert name in page, name
        if option.metadata["low"] is not None and option.default is not None:
            value = f"{option.default:g}" if isinstance(option.default, float) else str(option.default)
            lines = [line for line in page.splitlines() if name in line]
            assert any(value in line for line in lines), (name, value)
