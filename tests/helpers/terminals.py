"""Commands on a pseudo-terminal, as people see them."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from tests.helpers.command_line import process_environment

_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def run_on_terminal(*arguments, cwd, columns=80, environment=None, timeout=240):
    """Run ``ppcls`` with standard error on a terminal; return (exit code, what it wrote there)."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "ppcls", *map(str, arguments)],
        stdin=follower,
        stdout=subprocess.DEVNULL,
        stderr=follower,
        cwd=cwd,
        env=process_environment({"TERM": "xterm-256color", "COLUMNS": "", **(environment or {})}),
    )
    os.close(follower)
    chunks = []
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the process has ended
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(leader)
    return process.wait(timeout), b"".join(chunks).decode()


def lines_of(text):
    """Return each line that was on the screen, without styles; of one that was written over, every version."""
    return [_ESCAPE.sub("", part).rstrip() for line in text.split("\n") for part in line.split("\r")]
