"""Commands in sentences, in tables and in blocks that are not run name commands, options and recipes that exist."""

import argparse
import functools
import re
import shlex

import pytest

from ppcls import load_config
from ppcls.commands import COMMANDS
from ppcls.config.find import recipes
from ppcls.config.global_section import GlobalSection
from ppcls.errors import ConfigError
from tests.docs.pages import PAGES, blocks, without_blocks
from tests.docs.shims import LAUNCHER, command_of
from tests.helpers.recipes import ROOT

_SPAN = re.compile(r"(?<!`)`(?!`)([^`]+)`(?!`)")
_PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*|.*\.\.\..*|<.*>")
_MAIN_OPTIONS = ("-h", "--help", "--version")


@pytest.mark.parametrize("page", ["CHANGELOG.md", *PAGES])
def test_commands_options_and_recipes_exist(page):
    problems = [
        f"{page}:{line}: {text}: {problem}" for line, text in commands(page) for problem in problems_of(words_of(text))
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ppcls trian -c RECIPE", "no command trian"),
        ("ppcls train -c RECIPE --epoch 3", "no option --epoch of train"),
        ("python tools/eval.py --bakend onnx", "no option --bakend of eval"),
        ("ppcls train -c ImageNet/gMLP/gMLP_S17", "no recipe ImageNet/gMLP/gMLP_S17"),
        ("ppcls train -c quick_start/digits_ConvMixer -o Arch.dept=3", "Arch.dept"),
        ("ppcls train -c RECIPE -o Global.epoch=3", "no key Global.epoch"),
        (f"python -m {LAUNCHER} --nproc_per_node 2 tools/train.py -x RECIPE", "no option -x of train"),
        ("python tools/trains.py", "no file tools/trains.py"),
        ("ppcls --verison", "no option --verison"),
    ],
)
def test_mistakes_are_found(text, problem):
    (found,) = problems_of(words_of(text))
    assert problem in found


@pytest.mark.parametrize(
    "text",
    [
        "ppcls infer MODEL IMAGES... [--out FILE]",
        "ppcls COMMAND --help",
        "ppcls train -c mine.yaml -o Global.epochs=N",
        "PPCLS_CPU_OPS=plain ppcls eval RUN | head",
        "ppcls train -c quick_start/digits_ConvMixer -o Global.epochs=3 Global.seed=1 && ppcls eval RUN",
        "ppcls sweep -c RECIPE 'Global.seed=[0, 1]'",
        "ppcls --version",
    ],
)
def test_right_commands_are_accepted(text):
    assert not list(problems_of(words_of(text)))


def commands(page):
    """Return (line, text) of a page's commands that no test runs: those in sentences, tables and blocks."""
    lines = [(number, span) for number, line in without_blocks(page) for span in _SPAN.findall(line)]
    for block in blocks(page):
        if block.language == "bash" and not block.is_executed:
            rows = re.sub(r"\\\n", "  ", block.text).splitlines()
            lines += [(block.line + number, row.strip()) for number, row in enumerate(rows)]
    return [(number, text) for number, text in lines if re.match(r"([A-Z_]+=\S+ +)*(ppcls|python3?) ", text)]


def words_of(text):
    """Return the words of a command up to what the shell does with its output, without variables before it."""
    text = re.sub(r"\[(--?[a-z][^\]]*)\]", r"\1", text.replace("\\|", "|"))
    try:
        words = shlex.split(text, comments=True)
    except ValueError:  # an apostrophe
        words = text.split()
    end = next((index for index, word in enumerate(words) if word in ("|", "&&", ";", ">", "&")), None)
    start = next(index for index, word in enumerate(words) if not re.match(r"[A-Z_]+=", word))
    return words[start:end]


def problems_of(words):
    """Yield what is wrong with a command."""
    script = next((index for index, word in enumerate(words) if re.match(r"(tools|benchmarks|deploy)/", word)), None)
    given = command_of(words)
    if given is None and script is not None:
        if not (ROOT / words[script]).exists():
            yield f"no file {words[script]}"
        given = command_of(["python", *words[script:]])
    if not given or _PLACEHOLDER.fullmatch(given[0]):
        return
    if given[0].startswith("-"):
        yield from (f"no option {word}" for word in given if word not in _MAIN_OPTIONS)
    elif given[0] not in COMMANDS:
        yield f"no command {given[0]}"
    else:
        names = [word.partition("=")[0] for word in given[1:] if re.match(r"--?[A-Za-z]", word)]
        yield from (f"no option {name} of {given[0]}" for name in names if name not in options_of(given[0]))
        yield from _problems_of_recipe(given)


def _problems_of_recipe(words):
    after = dict(zip(words, [*words[1:], ""]))
    recipe = after.get("-c", "RECIPE")
    changes = [word for word in words if re.match(r"[A-Z]\w*(\.\w+)+=", word)]
    changes = [word for word in changes if not _PLACEHOLDER.fullmatch(word.partition("=")[2])]
    if re.sub(r"^(\./)?(ppcls/)?(configs/)?", "", recipe).removesuffix(".yaml") + ".yaml" in recipes():
        try:
            load_config(recipe, changes if words[0] != "sweep" else [])
        except ConfigError as error:
            yield str(error)
        return
    if "/" in recipe and not recipe.startswith(("output/", "/", "~", "my")):
        yield f"no recipe {recipe}"
    for key in (word.partition("=")[0] for word in changes):
        section, name = key.split(".")[:2]
        if section == "Global" and name not in GlobalSection.model_fields:
            yield f"no key {key}"


@functools.cache
def options_of(command):
    """Return the options of a command."""
    parser = argparse.ArgumentParser()
    COMMANDS[command].add_options(parser)
    return {*parser._option_string_actions, "--debug"}
