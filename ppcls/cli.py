"""The command line, ``ppcls COMMAND``; ``tools/*.py`` are doors to the same. See ``ppcls.commands``."""

from __future__ import annotations

import argparse
import os
import sys
from typing import List, Optional, Sequence

from ppcls.commands import COMMANDS
from ppcls.errors import PpclsError
from ppcls.utils import distributed


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command; return the process's exit code: 0, 2 for a user's error, 130 or 143 when interrupted."""
    debug = False
    try:
        options = _parser().parse_args(arguments)
        debug = options.debug
        from ppcls.utils import logging

        logging.setup()
        return int(COMMANDS[options.command].run(options))
    except PpclsError as error:
        if debug:
            raise
        print(_who() + (f"error: {error}" if error.exit_code == 2 else str(error)), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `ppcls config ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a disk that is full, a folder without permission
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"{_who()}error: {where}{error.strerror or error} (--debug shows where)", file=sys.stderr)
        return 2


def _who() -> str:
    """Return "rank 1: " where there are several processes."""
    return f"rank {distributed.rank()}: " if distributed.world_size() > 1 else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ppcls", description="Vision MLPs on PaddlePaddle.")
    parser.add_argument("--version", action="version", version=f"ppcls {__import__('ppcls').__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS.values():
        options = commands.add_parser(command.name, help=command.help, description=command.help)
        command.add_options(options)
        options.add_argument("--debug", action="store_true", help="show a traceback for errors")
    return parser


def tool(command: str, arguments: Optional[List[str]] = None) -> int:
    """Run ``command`` as ``tools/<command>.py`` does."""
    return main([command, *(sys.argv[1:] if arguments is None else arguments)])
