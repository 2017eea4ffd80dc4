"""The command line, ``ppcls COMMAND``, which ``tools/*.py`` call, too. See ``ppcls.commands``."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from ppcls.commands import COMMANDS, GROUPS
from ppcls.commands.command import Command
from ppcls.errors import PpclsError
from ppcls.utils import distributed, encoding


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command; return the process's exit code: 0, 2 for a user's error, 130 or 143 when interrupted.

    Raises:
        SystemExit: the arguments are not understood, or ask for help; or SIGTERM ended the command.
    """
    if arguments is None:
        encoding.restart_in_utf8()
    return _run_and_finalize(lambda: _parse(arguments))


def script(command: Command, arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command that has a script instead of a name in ``ppcls``; return the exit code as ``main`` does.

    Raises:
        SystemExit: as ``main``.
    """

    def parse() -> Tuple[Command, argparse.Namespace]:
        parser = argparse.ArgumentParser(description=command.help)
        _add_options(command, parser)
        return command, parser.parse_args(arguments)

    if arguments is None:
        encoding.restart_in_utf8()
    return _run_and_finalize(parse)


def _run_and_finalize(parse: Callable[[], Tuple[Command, argparse.Namespace]]) -> int:
    """Run the command that ``parse`` returns with its options, and end the connection to other processes."""
    encoding.escape_unprintable()
    try:
        code = _run(parse)
    except SystemExit as ended:
        distributed.finalize(failed=bool(ended.code))
        raise
    distributed.finalize(failed=bool(code))
    return code


def _run(parse: Callable[[], Tuple[Command, argparse.Namespace]]) -> int:
    debug = False
    try:
        command, options = parse()
        debug = options.debug
        from ppcls.utils import logging

        logging.setup()
        with _interrupts_recognized(), logging.repeats_dropped():
            return int(command.run(options))
    except PpclsError as error:
        if debug:
            raise
        print(_rank_prefix() + (f"error: {error}" if error.exit_code == 2 else str(error)), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nstopped" if sys.stderr.isatty() else "stopped", file=sys.stderr)  # a terminal shows ^C before it
        return 130
    except BrokenPipeError:  # `ppcls config ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a disk that is full, a folder without permission
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"{_rank_prefix()}error: {where}{error.strerror or error} (--debug shows where)", file=sys.stderr)
        return 2
    except Exception as error:
        text = None if debug else _imported_failure(error)
        if text is None:
            raise
        print(f"{_rank_prefix()}error: {text} (--debug shows the traceback)", file=sys.stderr)
        return 2


@contextlib.contextmanager
def _interrupts_recognized() -> Iterator[None]:
    """Let Ctrl-C end the block by KeyboardInterrupt, also where a library makes another error of it."""
    pressed: List[int] = []

    def interrupt(number: int, _: Optional[FrameType]) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()  # elsewhere Python allows no handlers
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Exception:
        if pressed:
            raise KeyboardInterrupt from None
        raise
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _imported_failure(error: Exception) -> Optional[str]:
    """Return where an error was raised in a file of the user's that was imported; None for any other error."""
    if "ppcls.registry" not in sys.modules:
        return None
    from ppcls.registry.failures import describe_if_imported

    return describe_if_imported(error)


def _rank_prefix() -> str:
    """Return "rank 1: ", or an empty string for a single process."""
    return f"rank {distributed.rank()}: " if distributed.world_size() > 1 else ""


def _parse(arguments: Optional[Sequence[str]]) -> Tuple[Command, argparse.Namespace]:
    parser, commands = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:  # reported by the command, with its own usage
        command = commands[options.command]
        command.error(f"unrecognized arguments: {' '.join(unknown)}{_hint(unknown[0], command)}")
    return COMMANDS[options.command], options


def _hint(argument: str, command: argparse.ArgumentParser) -> str:
    """Return a suggestion for an argument that a command does not know."""
    if "=" in argument and not argument.startswith("-"):
        return f" (changes of the recipe follow -o: -o {argument})"
    several = [action.metavar for action in command._get_positional_actions() if action.nargs == "+"]
    if several and not argument.startswith("-"):
        return f" ({several[0]} stand together, before the options)"
    return _similar(argument.partition("=")[0], command._option_string_actions)


def _similar(word: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


class _Parser(argparse.ArgumentParser):
    """The parser of all commands. Its help groups them, and its errors suggest commands with similar names."""

    def format_help(self) -> str:
        """Return the help, with the commands grouped by task."""
        width = max(map(len, COMMANDS))
        lines = [self.format_usage(), f"{self.description}\n"]
        for title, commands in GROUPS.items():
            lines.append(f"{title}:")
            lines += [f"  {command.name:<{width}}  {command.help}" for command in commands]
            lines.append("")
        lines.append("`ppcls COMMAND --help` lists the options of a command; `ppcls --version` prints the version.\n")
        return "\n".join(lines)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices and isinstance(action.choices, dict):
            known = ", ".join(action.choices)
            self.error(f"unknown command {value!r}{_similar(str(value), action.choices)}; commands: {known}")
        super()._check_value(action, value)


class _CommandParser(argparse.ArgumentParser):
    """The parser of one command. It adds the command's options when it parses, that is if this command was typed."""

    command: Optional[Command] = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the options and the arguments that are not known."""
        if self.command is not None:
            _add_options(self.command, self)
            self.command = None
        return super().parse_known_args(args, namespace)


def _parser() -> Tuple[argparse.ArgumentParser, Dict[str, _CommandParser]]:
    """Return the main parser, and the parser of each command."""
    parser = _Parser(prog="ppcls", description="Vision MLPs on PaddlePaddle.")
    parser.add_argument("--version", action="version", version=f"ppcls {__import__('ppcls').__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_CommandParser)
    parsers = {}
    for command in COMMANDS.values():
        parsers[command.name] = commands.add_parser(command.name, help=command.help, description=command.help)
        parsers[command.name].command = command
    return parser, parsers


def _add_options(command: Command, parser: argparse.ArgumentParser) -> None:
    command.add_options(parser)
    parser.add_argument("--debug", action="store_true", help="show a traceback for errors")


def tool(command: str, arguments: Optional[List[str]] = None) -> int:
    """Run ``command`` as ``tools/<command>.py`` does."""
    if arguments is None:
        encoding.restart_in_utf8()
    return main([command, *(sys.argv[1:] if arguments is None else arguments)])
