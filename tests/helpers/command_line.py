"""The ``ppcls`` command line: in the test's own process, which saves the imports, or in one of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from pathlib import Path

from tests.helpers.recipes import ROOT

# The scripts of tools/ that are commands.
TOOLS = {"train": "train", "eval": "eval", "infer": "infer", "export_model": "export"}


def run_ppcls(*arguments, cwd, code=0, environment=None, timeout=240):
    """Run a command in this process as a process of its own would run; return what ``subprocess.run`` does.

    During the call the working directory, the environment variables, the standard streams, signal handlers, warning
    filters, Paddle's parameter names and flags, the log's handlers and the components of ``--import`` are those of a
    new process; afterwards they are as before. What is read when Python or a library starts (PYTHONPATH,
    OMP_NUM_THREADS) is not: use ``run_process``.

    Args:
        code: the exit code to expect; None for any.
        environment: variables to set during the call.
        timeout: seconds after which the command is interrupted.
    """
    assert not {"PYTHONPATH", "OMP_NUM_THREADS"}.intersection(environment or ()), "these need process=True"
    arguments = [str(argument) for argument in arguments]
    texts = []
    states = (_environment(environment), _warnings(), _log(), _paddle(), forgotten_imports())
    with contextlib.ExitStack() as stack:
        for state in (*states, isolated(texts, cwd, timeout)):
            stack.enter_context(state)
        result = _main(arguments)
    return checked(subprocess.CompletedProcess(["ppcls", *arguments], result, *texts), code)


def run_process(*arguments, cwd, code=0, environment=None, timeout=240, preexec=None):
    """Run a command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "ppcls", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=timeout,
        env=process_environment(environment),
        preexec_fn=preexec,
    )
    return checked(done, code)


def run_python(code, *arguments, cwd=None, returncode=0, environment=None, timeout=240, preexec=None):
    """Run a Python program in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=timeout,
        env=process_environment(environment),
        preexec_fn=preexec,
    )
    return checked(done, returncode)


def start_process(*arguments, cwd, environment=None, **streams):
    """Start a command in a process of its own; its standard error is piped unless ``streams`` says otherwise."""
    return subprocess.Popen(
        [sys.executable, "-m", "ppcls", *map(str, arguments)],
        cwd=cwd,
        env=process_environment(environment),
        text=True,
        **{"stderr": subprocess.PIPE, **streams},
    )


def process_environment(changes=None):
    """Return this process's environment variables, with this checkout before any other ``ppcls``."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **(changes or {})}


def checked(done, code):
    """Return a finished command whose exit code is ``code``, or any where that is None."""
    assert code in (None, done.returncode), f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@contextlib.contextmanager
def isolated(texts, cwd, timeout=240):
    """Run the block in a folder, with standard streams and signal handlers as a process of its own has them.

    Args:
        texts: a list that receives what was printed: to standard output, to standard error.
        timeout: seconds after which the block is interrupted.
    """
    with _directory(cwd), _captured(texts), _signals(timeout):
        yield


def _main(arguments):
    """Return the exit code that ``python -m ppcls`` would end with; what it would print on the way out is printed."""
    from ppcls.cli import main

    try:
        return main(arguments)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return ended.code or 0
    except _TimeoutError:
        raise
    except BaseException:  # noqa: BLE001  the interpreter would end with a traceback
        traceback.print_exc()
        return 1


@contextlib.contextmanager
def _captured(texts):
    """Send both output streams to files, those of C libraries and child processes too; add their texts at the end."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile("w+", errors="replace")) for _ in range(2)]
        before = sys.stdin, sys.stdout, sys.stderr
        copies = [os.dup(number) for number in (1, 2)]
        for stream in before[1:]:
            stream.flush()
        for number, file in enumerate(files, start=1):
            os.dup2(file.fileno(), number)
        sys.stdin = stack.enter_context(Path(os.devnull).open())
        # Flushed and never closed: a library may keep the stream that it finds.
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", errors="backslashreplace", buffering=1, closefd=False)
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            sys.stdin, sys.stdout, sys.stderr = before
            for number, copy in enumerate(copies, start=1):
                os.dup2(copy, number)
                os.close(copy)
            for file in files:
                file.seek(0)
                texts.append(file.read())


@contextlib.contextmanager
def _directory(path):
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _environment(changes):
    before = dict(os.environ)
    os.environ.update({key: str(value) for key, value in (changes or {}).items()})
    try:
        yield
    finally:
        for key in os.environ.keys() - before.keys():
            del os.environ[key]
        os.environ.update(before)


class _TimeoutError(Exception):
    """The command took too long."""


@contextlib.contextmanager
def _signals(timeout):
    """Give signals a new process's handlers, and end a command that hangs."""

    def end(number, frame):
        raise _TimeoutError(f"not finished after {timeout} seconds")

    def terminate(number, frame):  # a process would be ended by it
        raise SystemExit(-number)

    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: terminate, signal.SIGALRM: end}

    assert threading.current_thread() is threading.main_thread(), "signal handlers belong to the main thread"
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    earlier = signal.setitimer(signal.ITIMER_REAL, timeout)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.setitimer(signal.ITIMER_REAL, *earlier)


@contextlib.contextmanager
def _warnings():
    """Show warnings on standard error by Python's own filters; pytest would collect them."""

    def show(message, category, filename, lineno, file=None, line=None):
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))

    with warnings.catch_warnings():  # forgets, too, which ones were shown before
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        # As ppcls.utils.environment.import_paddle does once in a process.
        warnings.filterwarnings("ignore", message="When training, we now always track global mean and variance")
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def _log():
    """Leave the package's log as it was found."""
    from ppcls.utils.logging import get_logger

    logger = get_logger()
    before = (list(logger.handlers), logger.level, logger.propagate)
    logger.handlers = []
    try:
        yield
    finally:
        for handler in logger.handlers:
            handler.close()
        logger.handlers, logger.level, logger.propagate = before


@contextlib.contextmanager
def _paddle():
    """Let Paddle name parameters from 0, as optimizer states show, and take its flags back."""
    from ppcls.utils import environment

    environment.import_paddle()
    import paddle

    from ppcls.arch.ops import dispatch

    flags = paddle.get_flags(["FLAGS_new_executor_serial_run"])
    dispatch.available.cache_clear()  # chosen by an environment variable
    with paddle.utils.unique_name.guard():
        yield
    paddle.set_flags(flags)
    dispatch.available.cache_clear()


@contextlib.contextmanager
def forgotten_imports():
    """Take back what is imported and registered meanwhile, so that it can be imported anew."""
    from ppcls.registry import sources

    before, path = set(sources.known), list(sys.path)
    try:
        yield
    finally:
        for source in [source for key, source in sources.known.items() if key not in before]:
            sources.forget(source)
        sys.path[:] = path
