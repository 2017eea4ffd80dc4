"""Runs the blocks of a page in its working folder, one after the other, as a reader who pastes them."""

import re
import shutil
import sys
import traceback
import types

import yaml

from ppcls import load_config
from ppcls.registry.importing import import_from
from tests.docs.shell import TIMEOUT, Shell, statements
from tests.helpers.command_line import forgotten_imports, isolated
from tests.helpers.recipes import ROOT

BASE = "quick_start/digits_ConvMixer"  # of a part of a recipe
# Where parts are that pages show without the sections around them.
_PLACES = {
    "transform_ops": ("DataLoader", "Train", "dataset"),
    "batch_transform_ops": ("DataLoader", "Train", "dataset"),
    "sampler": ("DataLoader", "Train"),
    "loader": ("DataLoader", "Train"),
}
# Programs that a machine may lack on which the other tests run.
_OPTIONAL = ("base64", "cmake", "curl", "jq", "node", "npm", "unzip", "zip")
_MISSING_EXTRA = re.compile(r'needs (\S+), which is not installed: pip install "\.\[')


class BlockError(Exception):
    """A block does not do what it should: the text begins with page and line."""


class Runner:
    """Runs the blocks of one page.

    Args:
        page: its path in the project.
        folder: the working folder.
        tools: an empty folder.
        has_report: whether trainings write their report.

    Attributes:
        missing: what is not installed here, so that commands were left out.
    """

    def __init__(self, page, folder, tools, has_report=False):
        self.missing = []
        self._page, self._shell, self._printed = page, Shell(folder, tools, has_report), ""
        self._names = types.ModuleType(re.sub(r"\W", "_", page))
        (folder / ".venv").mkdir(exist_ok=True)
        (folder / ".venv" / "bin").symlink_to(tools, target_is_directory=True)

    def run(self, blocks):
        """Run the blocks that are executed, in their order; stop the servers that they start at the end.

        Raises:
            BlockError: a block fails.
        """
        try:
            for index, block in enumerate(blocks):
                if "output" in block.marks:
                    self._compare(block)
                elif block.is_executed:
                    self._run(block, blocks[index + 1 :])
        finally:
            self._shell.close()

    def _run(self, block, following):
        name = block.marks.get("file")
        if name is not None:
            (self._shell.folder / name).write_text(block.text)
        if block.language == "bash":
            self._bash(block)
        elif block.language == "yaml":
            self._yaml(block)
        elif name is None:
            self._python(block)
        elif not any(name in other.text for other in following if other.is_executed):
            self._import(block)

    def _bash(self, block):
        try:
            parts = statements(block.text)
        except ValueError as error:
            raise BlockError(f"{self._page}:{block.line}: {error}") from None
        for line, text in parts:
            absent = [name for name in _OPTIONAL if re.search(rf"\b{name}\b", text) and not shutil.which(name)]
            if absent:
                self.missing += absent
                continue
            code, printed = self._shell.run(text)
            self._printed += printed
            if code == (int(block.marks.get("exit code", 0)) if (line, text) == parts[-1] else 0):
                continue
            extra = _MISSING_EXTRA.search(printed)
            if extra is None:
                raise BlockError(f"{self._page}:{block.line + line}: exit code {code}\n$ {text}{printed}")
            self.missing.append(extra[1])

    def _python(self, block):
        file = str(ROOT / self._page)  # tracebacks show its lines
        texts = []
        sys.modules[self._names.__name__] = self._names
        try:
            code = compile("\n" * (block.line - 1) + self._shell.with_addresses(block.text), file, "exec")
            with isolated(texts, self._shell.folder, TIMEOUT):
                exec(code, self._names.__dict__)
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever the page's code raises
            frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
            printed = "".join([*texts, traceback.format_exc()])
            raise BlockError(f"{self._page}:{frames[0] if frames else block.line}: {printed}") from None
        finally:
            del sys.modules[self._names.__name__]
        self._printed += "".join(texts)

    def _import(self, block):
        """Import a file of components as ``--import`` does."""
        path = self._shell.folder / block.marks["file"]
        self._checked(block, lambda: import_from(str(path), block.marks["file"], path.parent))

    def _yaml(self, block):
        """Load a recipe, or a part of one over another, which it has to change."""
        values = yaml.safe_load(block.text)
        if not isinstance(values, dict):
            raise BlockError(f"{self._page}:{block.line}: not the sections of a recipe")
        is_recipe = "_base_" in values or "name" in (values.get("Arch") or {})
        if is_recipe and "base" not in block.marks:
            self._checked(block, lambda: self._load(block.text))
            return
        if "file" in block.marks:
            return
        base = block.marks.get("base", BASE)
        for name in reversed(_PLACES.get(next(iter(values)), ())):
            values = {name: values}
        text = yaml.safe_dump({"_base_": f"{base}.yaml", **values}, sort_keys=False)
        loaded = self._checked(block, lambda: self._load(text))
        if loaded.plain() == load_config(base).plain():
            raise BlockError(f"{self._page}:{block.line}: changes nothing of {base}")

    def _load(self, text):
        path = self._shell.folder / "block.yaml"
        path.write_text(text)
        try:
            return load_config(path)
        finally:
            path.unlink()

    def _checked(self, block, function):
        """Return what a function returns that runs in the working folder.

        Raises:
            BlockError: it fails.
        """
        try:
            with isolated([], self._shell.folder, TIMEOUT), forgotten_imports():
                return function()
        except Exception as error:
            raise BlockError(f"{self._page}:{block.line}: {error}") from error

    def _compare(self, block):
        """Compare a block that shows output with what commands before it have printed; numbers may differ."""
        printed = self._printed.splitlines()
        for number, line in enumerate(block.text.splitlines()):
            if line.strip(" .") and not any(is_like(line, other) for other in printed):
                raise BlockError(f"{self._page}:{block.line + number}: no command before printed this: {line}")


def is_like(shown, printed):
    """Return whether a line is the end of another one; `...` stands for anything, and numbers for any numbers."""
    number = r"(?<![A-Za-z])[-+]?\d[\d.,]*(?:e[-+]?\d+)?"
    parts = [re.sub(number, "0", part) for part in shown.strip().split("...")]
    pattern = ".*".join(re.escape(part) for part in parts)
    return re.search(rf"{pattern}\s*$", re.sub(number, "0", printed)) is not None
