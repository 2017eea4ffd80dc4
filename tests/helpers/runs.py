"""Training runs: starting and ending them, and what is in their folders."""

import itertools
import json
import os
import signal
import time

from ppcls.utils.digests import sha256
from tests.helpers.command_line import run_ppcls
from tests.helpers.forks import Fork

# Long enough to be interrupted in the middle; `latest` is also written between epochs, at every update.
LONG = ("Global.epochs=4", "Global.update_freq=2", "Global.save_every_minutes=0")


def train(recipe, *changes, code=0):
    """Train by a recipe in this process; return the finished command."""
    return run_ppcls(*_arguments(recipe, changes), cwd=recipe.parent, code=code)


def start(recipe, *changes):
    """Start training by a recipe in a process of its own."""
    return Fork(*_arguments(recipe, changes), cwd=recipe.parent)


def _arguments(recipe, changes):
    return ["train", "-c", recipe, *(["-o", *changes] if changes else [])]


def finish(process):
    """Wait for a process that was started; return its exit code and its standard error."""
    _, err = process.communicate(timeout=240)
    return process.returncode, err


def digests(folder):
    """Return the digests of a run's weights and optimizer."""
    return {name: sha256(folder / name) for name in ("latest.pdparams", "latest.pdopt", "best_model.pdparams")}


def records(folder):
    """Return the lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def saves(out):
    """Return a value that changes with every checkpoint."""
    try:
        return (out / "latest.pdstates").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def resume_from_latest(out):
    """Return the change of the recipe that continues the run in ``out``, nothing where it saved nothing yet."""
    saved = (out / "latest.pdstates").exists() or (out / "latest.commit").exists()
    return [f"Global.checkpoints={out}/latest"] if saved else []


def flip_bit(path):
    """Damage a file, and none that is linked to it."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.unlink()
    path.write_bytes(content)


def wait_for_save(process, out):
    """Wait until a running process saves the next checkpoint in ``out``, or ends."""
    seen = saves(out)
    while process.poll() is None and saves(out) == seen:
        time.sleep(0.002)


def interrupt_evaluation(monkeypatch, number):
    """Let Ctrl-C be pressed when the ``number``-th evaluation in this process begins."""
    from ppcls.engine import evaluation

    calls, evaluate = itertools.count(1), evaluation.evaluate_model

    def interrupted(*arguments, **options):
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGINT)
        return evaluate(*arguments, **options)

    monkeypatch.setattr(evaluation, "evaluate_model", interrupted)
