"""What stands in for the programs that the shell blocks of pages start: ``python -m tests.docs.shims NAME ARGUMENTS``.

`ppcls` and `python` are run, with shorter trainings; `curl` is run so that errors of the server are errors. What would
change the machine or needs a network is not run; what it names has to exist:

| program | what is checked |
| --- | --- |
| `pip install`, `python -m pip install` | extras of `.[...]`, files of `-r`, and packages: those of pyproject.toml |
| `make TARGET` | the target |
| `docker`, `kubectl`, `sbatch` | the files and folders of the project (tests/deploy checks the commands inside) |
| `git clone` | nothing: the folder that it makes is the page's own |
| `python -m venv`, `source .venv/bin/activate` | nothing |
| `python -m pytest` | the files and folders |
| `apt-get`, `sudo apt-get`, other commands of git, `pre-commit`, `ruff` and `mypy` | nothing |
"""

import os
import re
import shutil
import sys
from pathlib import Path

from tests.docs.shorten import shorten
from tests.helpers.command_line import TOOLS
from tests.helpers.recipes import ROOT

REPORT = "PPCLS_DOCS_REPORT"  # a variable that is set where trainings write their report
LAUNCHER = "paddle.distributed.launch"
# Followed by a value that is no package.
_PIP_OPTIONS = (
    "-i",
    "--index-url",
    "--extra-index-url",
    "-f",
    "--find-links",
    "-c",
    "--constraint",
    "--python-version",
)


class WrongError(Exception):
    """A command names something that is not there."""


def write(folder):
    """Write a program for each name, and what activates an environment, into a folder."""
    for name in RULES:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.docs.shims {name} "$@"\n')
        path.chmod(0o755)
    (folder / "activate").write_text("")


def main(name, *arguments):
    """Do what a program is to do; return the exit code."""
    try:
        RULES[name](list(arguments))
    except WrongError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


def command_of(words):
    """Return what follows ``ppcls`` in a command of it or of its scripts, None for another program.

    Args:
        words: a program and its arguments.
    """
    if words[0] == "ppcls":
        return words[1:]
    if words[0] not in ("python", "python3"):
        return None
    if words[1:3] == ["-m", "ppcls"]:
        return words[3:]
    script = Path(words[1]).stem if words[1:] and words[1].startswith("tools/") else None
    return [TOOLS[script], *words[2:]] if script in TOOLS else None


def _ppcls(words):
    if words[:1] == ["serve"]:
        raise WrongError("`ppcls serve` stands on a line of its own: the other blocks of the page use the server")
    _replace([sys.executable, "-m", "ppcls", *_shortened(words)])


def _python(words):
    given = command_of(["python", *words])
    if given is not None:
        _ppcls(given)
    if words[:2] == ["-m", "pip"]:
        _pip(words[2:])
    elif words[:2] == ["-m", "pytest"]:
        _exist(word.partition("::")[0] for word in words[2:] if word.startswith("tests"))
    elif words[:2] == ["-m", LAUNCHER]:
        _replace([sys.executable, *_launched(words)])
    elif words[:2] != ["-m", "venv"]:
        _replace([sys.executable, *words])


def _launched(words):
    """Return the launcher's arguments with the training shortened that it starts."""
    script = next((index for index, word in enumerate(words) if word.startswith("tools/")), None)
    if script is None:
        return words
    _, *arguments = _shortened(command_of(["python", *words[script:]]))
    return [*words[: script + 1], *arguments]


def _shortened(words):
    return shorten(words, ".", REPORT in os.environ)


def _curl(words):
    real = shutil.which("curl", path=os.environ["PATH"].partition(os.pathsep)[2])
    _replace([real, "--fail", "--silent", "--show-error", "--max-time", "60", *words])


def _pip(words):
    if words[:1] != ["install"]:
        raise WrongError(f"{words}: only `pip install` is known here; mark the block")
    extras, packages = _declared()
    values = iter(words[1:])
    for word in values:
        if word in ("-r", "--requirement"):
            _exist([next(values)])
        elif word in _PIP_OPTIONS:
            next(values)
        elif match := re.fullmatch(r"\.(?:\[([\w,-]+)\])?", word):
            unknown = set(filter(None, (match[1] or "").split(","))) - extras
            if unknown:
                raise WrongError(f"no such extra in pyproject.toml: {', '.join(sorted(unknown))}")
        elif not word.startswith("-") and _plain(word) not in packages:
            raise WrongError(f"{word}: no package that pyproject.toml names; mark the block")


def _declared():
    """Return the names of the extras and of all packages in pyproject.toml, and those of requirements files."""
    text = (ROOT / "pyproject.toml").read_text()
    section = re.search(r"(?ms)^\[project\.optional-dependencies\]\n(.*?)^\[", text)[1]
    lists = [text.partition("dependencies = [")[2].partition("]\n")[0], section]
    lines = [line for path in ROOT.glob("requirements*.txt") for line in path.read_text().splitlines()]
    names = re.findall(r'"([A-Za-z][\w.-]*)', "".join(lists)) + [line for line in lines if re.match(r"[A-Za-z]", line)]
    return set(re.findall(r"(?m)^([\w-]+) = \[", section)), {_plain(name) for name in names} | {"pip", "pre-commit"}


def _plain(requirement):
    """Return the name of a requirement, as package indexes compare them."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]*", requirement)[0]).lower()


def _make(words):
    text = (ROOT / "Makefile").read_text()
    for word in words:
        name, assigned, _ = word.partition("=")
        if assigned and f"$({name})" not in text:
            raise WrongError(f"no variable {name} in the Makefile")
        if not assigned and not re.search(rf"(?m)^{re.escape(word)}:", text):
            raise WrongError(f"no target {word} in the Makefile")


def _names_of_files(words):
    """Check words that are paths of the project."""
    _exist(word.partition(":")[0] for word in words if re.match(r"(deploy|configs|tools)/", word))


def _exist(paths):
    for path in paths:
        if not (ROOT / path).exists():
            raise WrongError(f"{path}: no such file or folder in the project")


def _git(words):
    if words[:1] == ["clone"]:
        names = [word for word in words[1:] if not word.startswith("-")]
        name = names[1] if names[1:] else names[0].rstrip("/").rpartition("/")[2].removesuffix(".git")
        Path(name).symlink_to(".", target_is_directory=True)


def _nothing(words):
    """Accept the command."""


def _replace(words):
    """Go on as another program."""
    sys.stdout.flush()
    os.execvp(words[0], words)


RULES = {
    "ppcls": _ppcls,
    "python": _python,
    "python3": _python,
    "pip": _pip,
    "pip3": _pip,
    "make": _make,
    "curl": _curl,
    "git": _git,
    **dict.fromkeys(("docker", "kubectl", "sbatch"), _names_of_files),
    **dict.fromkeys(("apt-get", "apt", "sudo", "pre-commit", "ruff", "mypy"), _nothing),
}

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
