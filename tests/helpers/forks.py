"""Commands in processes of their own that start at once: forked from one that has imported Paddle and ``ppcls``."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import tempfile
import time

from tests.helpers.command_line import checked
from tests.helpers.recipes import ROOT

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.helpers.forked"])


class Fork:
    """A command that runs in a forked process, with the methods of ``subprocess.Popen`` that tests use.

    It differs from one that ``start_process`` starts in what Python does at its start and end: the interpreter's
    options, imports, exit functions. Its output goes to files, so that it never waits for a reader.

    Args:
        arguments: those of ``ppcls``.
        cwd: the working directory.
        environment: variables to set; what is read when Python or Paddle starts is not.
        program: Python code to run instead of ``ppcls``, with ``arguments`` as its ``sys.argv[1:]``.
        limit: the largest size in bytes that the process can write a file to.
        log: the path of a new file for standard error; without it there is a temporary one.
    """

    def __init__(self, *arguments, cwd, environment=None, program=None, limit=None, log=None):
        from tests.helpers import forked

        self.returncode = None
        self.args = ["ppcls", *map(str, arguments)]
        errors = tempfile.NamedTemporaryFile("r", errors="replace") if log is None else log.open("x+")  # noqa: SIM115
        self._files = [tempfile.NamedTemporaryFile("r", errors="replace"), errors]  # noqa: SIM115
        settings = forked.Settings(
            arguments=self.args[1:],
            cwd=str(cwd),
            environment={**os.environ, **(environment or {})},
            outputs=[str(file.name) for file in self._files],
            program=program,
            limit=limit,
        )
        self._process = _FORKS.Process(target=forked.run, args=(settings,))
        with _importable():
            self._process.start()
        self.pid = self._process.pid

    def poll(self):
        """Return the exit code, None while the process runs."""
        self.returncode = self._process.exitcode
        return self.returncode

    def send_signal(self, number):
        """Send a signal to the process unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        """Send the signal that the command ``kill`` sends."""
        self.send_signal(signal.SIGTERM)

    def kill(self):
        """End the process at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout=None):
        """Return the exit code when the process has ended."""
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def communicate(self, timeout=None):
        """Return (standard output, standard error) when the process has ended."""
        self.wait(timeout)
        return tuple(self.said())

    def first_line(self):
        """Return the first line of standard output when it is there, what there is when the process has ended."""
        while True:
            ended = self.poll() is not None
            line, found, _ = self.said()[0].partition("\n")
            if found or ended:
                return line
            time.sleep(0.01)

    def said(self):
        """Return what the process has written so far: standard output, standard error."""
        for file in self._files:
            file.seek(0)
        return [file.read() for file in self._files]


def run_fork(*arguments, cwd, code=0, timeout=240, **options):
    """Run a command in a forked process, check its exit code unless that is None; return what ``subprocess.run`` does.

    The options are those of ``Fork``.
    """
    process = Fork(*arguments, cwd=cwd, **options)
    try:
        texts = process.communicate(timeout)
    finally:
        process.kill()
    return checked(subprocess.CompletedProcess(process.args, process.returncode, *texts), code)


@contextlib.contextmanager
def _importable():
    """Let the process that is forked from, which starts with the first fork, find this checkout before any other."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
