"""Bytes and times of the server's page in headless Chromium, with an empty cache, beside Gradio's.

    python benchmarks/page_load.py MODEL [--gradio PYTHON] [--rounds 5]

MODEL is an export, with examples for a fair comparison. PYTHON is the interpreter of an environment that has gradio
beside what ppcls needs. Each page is loaded by turns in a new browser with a new profile. Prints one JSON object with
the medians for each page: bytes as they were sent, requests, milliseconds from the start of the navigation to the first
contentful paint and until the page can be used (ours: the model is named; Gradio's: a file can be chosen). All rounds
are under "rounds", with the other hosts that were asked.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Optional
from urllib.parse import urlsplit

from selenium import webdriver

ROOT = Path(__file__).resolve().parents[1]
# Notes when what is waited for has come; a script of the page itself could not be faster.
WATCH = """
    const watch = () => {
      const found = %s;
      if (found) window.usable = performance.now(); else requestAnimationFrame(watch);
    };
    watch();"""
USABLE = {
    "ppcls": "/classes/.test(document.getElementById('model')?.textContent)",
    "gradio": "document.querySelector('input[type=file]')",
}
PAINT = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
SECONDS = 60.0  # for a server to answer, and for a page
QUIET = 1.0  # seconds without a request after which a page is complete


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(command: List[str], port: int) -> subprocess.Popen:
    """Start a server and wait until it answers."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_ANALYTICS_ENABLED": "False"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                return process
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None:
                break
            time.sleep(0.2)
    process.kill()
    raise SystemExit(f"{' '.join(command)}: does not answer")


def load(name: str, port: int) -> Dict[str, Any]:
    """Return what loading a page in a new browser took."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH % USABLE[name]})
        driver.get(f"http://127.0.0.1:{port}/")
        events = _until_quiet(driver)
        usable: Optional[float] = driver.execute_script("return window.usable ?? null")
        paint: Optional[float] = driver.execute_script(PAINT)
        version = driver.capabilities["browserVersion"]
    finally:
        driver.quit()
    requests = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    sent = [url for url in requests if url.startswith("http")]
    hosts = {urlsplit(url).hostname for url in sent} - {"127.0.0.1"}
    done = [event["params"]["encodedDataLength"] for event in events if event["method"] == "Network.loadingFinished"]
    return {
        "browser": f"Chromium {version}",
        "bytes": int(sum(done)),
        "requests": len(sent),
        "other hosts": sorted(filter(None, hosts)),
        "first contentful paint, ms": paint,
        "usable, ms": usable,
    }


def _until_quiet(driver: webdriver.Chrome) -> List[Dict[str, Any]]:
    """Return the events of the network, when the page can be used and nothing has happened for a while."""
    events: List[Dict[str, Any]] = []
    deadline, last = time.monotonic() + SECONDS, time.monotonic()
    while time.monotonic() < deadline:
        new = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
        new = [event for event in new if event["method"].startswith("Network.")]
        events += new
        now = time.monotonic()
        last = now if new else last
        if now - last > QUIET and driver.execute_script("return window.usable !== undefined"):
            return events
        time.sleep(0.1)
    raise SystemExit(f"{driver.current_url}: not complete after {SECONDS:g} s")


def median_of(rounds: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Return the median of each number."""
    numbers = {
        key: round(statistics.median(one[key] for one in rounds), 1)
        for key, value in rounds[0].items()
        if isinstance(value, (int, float))
    }
    return {**numbers, "rounds": rounds}


def processor() -> str:
    """Return the name of the processor, with the number of cores that may be used."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--gradio", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    model = str(Path(options.model).resolve())
    ports = {"ppcls": free_port()}
    commands = {"ppcls": [sys.executable, "-m", "ppcls", "serve", model, "--port", str(ports["ppcls"])]}
    if options.gradio:
        ports["gradio"] = free_port()
        commands["gradio"] = [options.gradio, str(ROOT / "benchmarks/_gradio_demo.py"), model, str(ports["gradio"])]
    processes = []
    try:
        processes += [start(command, ports[name]) for name, command in commands.items()]
        for name, port in ports.items():  # a first visit warms the servers, not the browsers
            load(name, port)
        rounds: Dict[str, List[Dict[str, Any]]] = {name: [] for name in ports}
        for _ in range(options.rounds):
            for name, port in ports.items():
                rounds[name].append(load(name, port))
    finally:
        for process in processes:
            process.terminate()
    medians = {name: median_of(found) for name, found in rounds.items()}
    print(json.dumps({"processor": processor(), "load average": os.getloadavg()[0], **medians}, indent=1))


if __name__ == "__main__":
    main()
