"""A shell for the bash blocks of a page: commands of ``ppcls`` run in this process, everything else in bash.

So does ``tools/make_digits.py``: a process of its own takes two seconds to import what this one has imported already.
"""

import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.docs import shims, world
from tests.docs.shorten import shorten
from tests.helpers.command_line import isolated, process_environment, run_ppcls
from tests.helpers.forks import Fork

TIMEOUT = 120  # seconds for a statement
PORT = 8000  # of `ppcls serve`
_READ_AT_START = "OMP_NUM_THREADS"  # a variable that changes nothing once Paddle is loaded
_DIGITS = ["tools/make_digits.py", "dataset/digits"]
_OWN = ("PATH", "PWD", "OLDPWD", "SHLVL", "_", "PYTHONPATH")  # variables that a page does not set


def statements(text):
    """Return (number of the first line from 0, text) of each statement of a shell script: a command, a loop, ...

    Raises:
        ValueError: bash does not understand it.
    """
    found, begun, first = [], "", 0
    for number, line in enumerate(text.splitlines()):
        if not begun and (not line.strip() or line.lstrip().startswith("#")):
            continue
        first = first if begun else number
        begun += f"{line}\n"
        if not line.endswith("\\") and _problem(begun) == "":
            found.append((first, begun))
            begun = ""
    if begun:
        raise ValueError(f"line {first + 1} of the block: {_problem(begun)}")
    return found


def _problem(text):
    """Return what bash says about the syntax."""
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return done.stderr or ("" if done.returncode == 0 else "incomplete")


class Shell:
    """The shell of a page.

    Args:
        folder: the working folder.
        tools: an empty folder, for the programs of ``tests.docs.shims``.
        has_report: whether trainings write their report.

    Attributes:
        folder: where the last command left it.
    """

    def __init__(self, folder, tools, has_report):
        self.folder, self._tools, self._has_report = folder, tools, has_report
        self._variables, self._servers, self._addresses = {}, [], {}
        self._finished_runs = {"photos", "digits"}  # of the world
        shims.write(tools)

    def run(self, statement):
        """Run a statement; return its exit code and what it printed."""
        statement = self.with_addresses(statement)
        command, output = _split_output(statement)
        words = self._words(command)
        if words is not None and words[1:] == _DIGITS and output is None:
            return self._make_digits(words)
        given = None if words is None else shims.command_of(words)
        if not given or _READ_AT_START in self._variables or (given[0] == "serve" and output is not None):
            return self._bash(statement)
        if given[0] == "serve":
            return self._serve(given)
        self._remove_finished_run(given)
        done = run_ppcls(
            *shorten(given, self.folder, self._has_report),
            cwd=self.folder,
            code=None,
            environment=self._variables,
            timeout=TIMEOUT,
        )
        if output is None:
            return done.returncode, done.stdout + done.stderr
        (self.folder / output).write_text(done.stdout)
        return done.returncode, done.stderr

    def with_addresses(self, text):
        """Return a text with the addresses where the page's servers are instead of those that it names."""
        for port, address in self._addresses.items():
            text = re.sub(rf"http://(127\.0\.0\.1|localhost):{port}\b", address, text)
        return text

    def close(self):
        """Stop the servers."""
        for server in self._servers:
            server.kill()
            server.wait()

    def _words(self, text):
        """Return the words of a statement that is one command of Python or ``ppcls``, None for any other."""
        text = re.sub(r"\s&\s*$", "", text.strip())
        lexer = shlex.shlex(text, posix=False, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            needs_shell = any(set(token) <= set("();<>|&") or "`" in token for token in lexer)
        except ValueError:
            needs_shell = True
        if needs_shell or not re.match(r"(ppcls|python3?)\s", text):
            return None
        script = f"printf '%s\\0' {text}"
        environment = {**os.environ, **self._variables}
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout.split("\0")[:-1]

    def _make_digits(self, words):
        """Run the script that writes the digits, in this process; leave as many of them as the world has."""
        texts, code = [], 0
        with pytest.MonkeyPatch.context() as patch, isolated(texts, self.folder, TIMEOUT):
            patch.setattr(sys, "argv", words[1:])
            try:
                runpy.run_path(words[1], run_name="__main__")
            except SystemExit as ended:
                code = ended.code or 0
        if not code:
            world.thin_digits(self.folder)
        return code, "".join(texts)

    def _bash(self, statement):
        """Run a statement by bash; keep the folder and the variables that it leaves."""
        before, after = self._tools.with_name("before"), self._tools.with_name("after")
        pipes = "" if re.search(r"\| *head\b", statement) else " -o pipefail"  # head ends what is before it
        script = f"env -0 > {before}\nset -ae{pipes}\n{statement}\n{{ pwd; env -0; }} > {after}\n"
        changes = {**self._variables, "PATH": f"{self._tools}{os.pathsep}{os.environ['PATH']}"}
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.folder,
            env=process_environment({**changes, **({shims.REPORT: "1"} if self._has_report else {})}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return -1, f"{process.communicate()[0]}\nnot finished after {TIMEOUT} seconds"
        if after.exists():
            folder, _, variables = after.read_text().partition("\n")
            self.folder = Path(folder)
            known = _variables(before.read_text())
            changed = {name: value for name, value in _variables(variables).items() if known.get(name) != value}
            self._variables.update({name: value for name, value in changed.items() if name not in _OWN})
            after.unlink()
        return process.returncode, printed

    def _serve(self, words):
        """Start a server on a free port; it stays until the page ends."""
        port = PORT
        if "--port" in words:
            at = words.index("--port")
            port = int(words[at + 1])
            words = [*words[:at], *words[at + 2 :]]
        server = Fork(*words, "--port", "0", cwd=self.folder, environment=self._variables)
        self._servers.append(server)
        deadline = time.monotonic() + TIMEOUT
        while server.poll() is None and time.monotonic() < deadline:
            address = re.search(r"http://[^\s/]+:\d+", server.said()[0])
            if address and _is_ready(address[0]):
                self._addresses[port] = address[0]
                return 0, "".join(server.said()).replace(address[0], f"http://127.0.0.1:{port}")
            time.sleep(0.05)
        return server.poll() or -1, "".join(server.said())

    def _remove_finished_run(self, words):
        """Remove a run of the world where the page trains with its images, which would not train it again."""
        if words[0] != "train" or len(words) == 1 or words[1].startswith("-") or "--output" in words:
            return
        name = words[1].rstrip("/").rpartition("/")[2]
        if name in self._finished_runs:
            self._finished_runs.remove(name)
            shutil.rmtree(self.folder / "output" / name)


def _split_output(statement):
    """Return a statement that writes its standard output to a file without that, and the file, else None."""
    match = re.fullmatch(r"([^<>|&;]*[^<>|&;\d\s])\s*>\s*([\w./-]+)\s*(?:#.*)?", statement.strip())
    return (statement, None) if match is None else (match[1], match[2])


def _variables(text):
    """Return what ``env -0`` has printed."""
    return dict(item.split("=", 1) for item in text.split("\0") if "=" in item)


def _is_ready(address):
    try:
        with urllib.request.urlopen(f"{address}/ready", timeout=10):
            return True
    except urllib.error.HTTPError:  # 503 until the model is loaded
        return False
