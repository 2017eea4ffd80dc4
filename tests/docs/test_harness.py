"""The tests of pages find what is wrong with a block."""

import pytest

from tests.docs import shims
from tests.docs.pages import blocks
from tests.docs.runner import BlockError, Runner, is_like
from tests.docs.shell import statements
from tests.docs.shorten import shorten


@pytest.fixture
def check(tmp_path):
    """Return a function that runs the blocks of a page's text, and what the folder then has."""
    (tmp_path / "page").mkdir()
    (tmp_path / "tools").mkdir()

    def run(text):
        runner = Runner("page.md", tmp_path / "page", tmp_path / "tools")
        runner.run(blocks("page.md", text))
        return tmp_path / "page"

    return run


def fence(language, *lines, mark=None):
    return "\n".join([*([f"<!-- {mark} -->"] if mark else []), f"```{language}", *lines, "```", ""])


def test_blocks_have_lines_languages_and_marks():
    text = "# Title\n\n1. A\n   <!-- not run: needs a GPU -->\n   ```bash\n   nvidia-smi\n   ```\n\n```text\nx\n```\n"
    text += "<!-- file: mine.yaml -->\n<!-- base: a/b -->\n````yaml\na: |\n  ```\n````\n"
    first, second, third = blocks("page.md", text)
    assert (first.line, first.text, first.marks) == (6, "nvidia-smi\n", {"not run": "needs a GPU"})
    assert [first.is_executed, second.is_executed, third.is_executed] == [False, False, True]
    assert (third.text, third.marks) == ("a: |\n  ```\n", {"file": "mine.yaml", "base": "a/b"})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (fence("sh", "ls"), "page.md:1: write bash instead of sh"),
        (fence("bash", "ls", mark="not ran: needs a GPU"), "page.md:1: unknown mark"),
        (fence("bash", "ls", mark="not run"), "page.md:1: write `<!-- not run: ... -->`"),
        ("\n```bash\nls\n", "page.md:2: this block has no end"),
    ],
)
def test_what_is_no_block_or_mark_is_refused(text, problem):
    with pytest.raises(ValueError, match=problem.replace("(", r"\(")):
        blocks("page.md", text)


def test_statements_are_whole():
    text = "# comment\ncd a\n\nfor x in 1 2; do\n  echo $x\ndone\nppcls train \\\n  -c X\ncat <<END > f\ntext\nEND\n"
    assert [(line, part.splitlines()[0]) for line, part in statements(text)] == [
        (1, "cd a"),
        (3, "for x in 1 2; do"),
        (6, "ppcls train \\"),
        (8, "cat <<END > f"),
    ]
    with pytest.raises(ValueError, match=r"line 1 of the block: .*syntax error"):
        statements("git clone <your fork> && cd ppcls\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (fence("bash", "true", "ppcls config -c nothing"), r"page.md:3: exit code 2\n.*\n.*nothing: no such recipe"),
        (fence("bash", "ppcls trian"), "page.md:2: exit code 2"),
        (fence("bash", "ls nothing | cat"), "page.md:2: exit code 2"),
        (fence("bash", "no_such_program"), "page.md:2: exit code 127"),
        (fence("bash", "for x in 1; do"), "page.md:2: line 1 of the block"),
        (fence("bash", 'pip install ".[reports]"'), "no such extra in pyproject.toml: reports"),
        (fence("bash", "pip install leftpad"), "leftpad: no package that pyproject.toml names"),
        (fence("bash", "python -m pip install -r requirement.txt"), "requirement.txt: no such file"),
        (fence("bash", "make tests"), "no target tests"),
        (fence("bash", "docker build -f deploy/Dockerfile ."), "deploy/Dockerfile: no such file"),
        (fence("bash", "true", mark="exit code: 2"), "page.md:3: exit code 0"),
        (fence("python", "x = 1", "", "y = x / 0"), "page.md:4: .*ZeroDivisionError"),
        (fence("python", "x ="), "page.md:2: .*SyntaxError"),
        (fence("python", "import sys", "sys.exit(0)"), "page.md:3: .*SystemExit"),
        (fence("yaml", "Global: {epoch: 3}"), "page.md:2: .*Global.epoch: unknown key"),
        (fence("yaml", "Global: {epochs: 20}"), "page.md:2: changes nothing of quick_start/digits_ConvMixer"),
        (fence("yaml", "transform_ops: [{ResizeImag: {size: 8}}]"), "page.md:2: .*ResizeImag"),
        (fence("yaml", "Arch: {recompte: true}", mark="base: ImageNet/gMLP/gMLP_S16"), "recompte"),
        (fence("python", "import nothing_of_that_name", mark="file: parts.py"), "nothing_of_that_name"),
        (fence("bash", "echo epoch 3") + fence("text", "epochs 3", mark="output"), "page.md:6: no command before"),
    ],
)
def test_mistakes_of_blocks_are_found(check, text, problem):
    with pytest.raises(BlockError, match=f"(?s){problem}"):
        check(text)


def test_blocks_share_folder_variables_names_and_files(check):
    folder = check(
        fence("bash", "mkdir -p runs/first", "cd runs", "NAME=first", "ls $NAME > list.txt", "cd ..")
        + fence("bash", "ppcls config -c $NAME", mark="exit code: 2")
        + fence("yaml", "_base_: quick_start/digits_ConvMixer.yaml", "Global: {epochs: 7}", mark="file: mine.yaml")
        + fence("bash", "ppcls config -c mine.yaml -o Global.seed=3 | grep 'epochs: 7' > seen.txt")
        + fence("bash", "ppcls config -c mine.yaml > runs/all.yaml  # a comment", "grep 'epochs: 7' runs/all.yaml")
        + fence("python", "from pathlib import Path", "", "text = Path('seen.txt').read_text()")
        + fence("python", "assert 'epochs: 7' in text", "print('epoch 3 of 7')")
        + fence("text", "epoch 12 of ...", mark="output")
    )
    assert (folder / "runs" / "list.txt").read_text() == ""


def test_what_would_change_the_machine_is_checked_and_not_done(check):
    folder = check(
        fence(
            "bash",
            "git clone https://example.org/ppcls.git && cd ppcls",
            "python3 -m venv .venv && source .venv/bin/activate",
            'pip install -e ".[report,serve]" && .venv/bin/pip install -r requirements.txt numpy pre-commit',
            "make lint test PYTHON=python3.11",
            ".venv/bin/python -m pytest tests/docs/test_harness.py::nothing -x",
            "docker build -f deploy/docker/serve.Dockerfile -t serve . && sudo apt-get install cmake",
            "mkdir here",
        )
    )
    assert (folder / "here").is_dir()


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ("train -c RECIPE", "-o Global.epochs=1"),
        ("train -c RECIPE -o Global.epochs=300", "-o Global.epochs=1"),
        ("train -c RECIPE -o Global.epochs=2", "-o Global.epochs=2"),
        ("train -c RECIPE -o Global.checkpoints=auto", "-o Global.epochs=4"),
        ("train -c staged", "-o Global.epochs=1 Stages.1.override.Global.epochs=1"),
        ("train -c RECIPE --profile 5:8", "-o Global.epochs=1 DataLoader.Train.sampler.batch_size=16"),
        ("train photos", "--epochs 1 -o Optimizer.lr.learning_rate=0.005"),
        ("train photos --pretrained weights.pth", "--epochs 1"),
        ("train photos -o Global.epochs=90", "-o Global.epochs=1 Optimizer.lr.learning_rate=0.005"),
        ("cross-validate photos -k 3", "-o Global.epochs=1 Optimizer.lr.learning_rate=0.005"),
        ("sweep -c RECIPE Arch.depth=[1,2]", "-o Global.epochs=1"),
        ("benchmark gMLP_S16", "--seconds 0.25"),
        ("train --help", ""),
        ("eval output/digits", ""),
    ],
)
def test_trainings_are_shortened(tmp_path, words, more):
    (tmp_path / "staged.yaml").write_text("Stages:\n- name: a\n- {name: b, override: {Global.epochs: 100}}\n")
    assert shorten(words.split(), tmp_path) == [*words.split(), *more.split()]


def test_reports_are_written_where_they_are_needed():
    assert shorten(["train", "photos"], ".", has_report=False)[-2:] == ["-o", "Global.report=false"]
    assert shorten(["train", "-c", "X"], ".", has_report=False)[-2:] == ["-o", "Global.report=false"]
    assert shorten(["eval", "RUN"], ".", has_report=False) == ["eval", "RUN"]


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("ppcls eval RUN", "eval RUN"),
        ("python -m ppcls eval RUN", "eval RUN"),
        ("python tools/export_model.py -c X", "export -c X"),
        ("python3 tools/make_digits.py dataset/digits", None),
        ("python -c 1", None),
        ("ls", None),
    ],
)
def test_commands_of_ppcls_are_known(words, given):
    assert shims.command_of(words.split()) == (None if given is None else given.split())


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("[Eval][Epoch 2][Avg]loss: 0.49", "2026-11-30 INFO: [Eval][Epoch 13][Avg]loss: 1.2e-3", True),
        ("model in output/.../best_model", "saved the model in output/digits/best_model", True),
        ("top1: 0.9", "top1: 0.9, top5: 1.0", False),
        ("top1: 0.9", "top5: 0.9", False),
    ],
)
def test_output_is_compared_without_its_numbers(shown, printed, same):
    assert is_like(shown, printed) is same
