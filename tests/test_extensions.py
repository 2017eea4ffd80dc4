"""Other people's code: components from files, modules and installed packages."""

import contextlib
import json
import os
import re
import subprocess
import sys
import textwrap
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

import ppcls
from ppcls import cli
from ppcls.errors import ConfigError
from ppcls.registry import Registry, sources
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "your_own.md").read_text()
PARTS, RECIPE = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL).group(1) for kind in ("python", "yaml"))


@pytest.fixture(autouse=True)
def forget_imports():
    """Forget what a test has imported, so that the next one may register the same names."""
    with forgotten():
        yield


@contextlib.contextmanager
def forgotten():
    before = set(sources._sources)
    try:
        yield
    finally:
        for key in set(sources._sources) - before:
            sources._sources.pop(key).undo()


@pytest.fixture
def run(capsys, monkeypatch):
    """Return a function that runs a command as in a process of its own, in which nothing is imported yet."""

    def call(*arguments, code=0, cwd):
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        with forgotten():
            returned = cli.main([str(argument) for argument in arguments])
        done = capsys.readouterr()
        assert returned == code, done.err
        return SimpleNamespace(stdout=done.out, stderr=done.err)

    return call


def write(path, text):
    path.write_text(textwrap.dedent(text))
    return path


@pytest.fixture
def mine(tmp_path, digits):
    """Return a folder with the page's two files, the recipe made to train for one epoch on ``digits``."""
    (tmp_path / "my_parts.py").write_text(PARTS)
    values = yaml.safe_load(RECIPE)
    values["Global"].update(epochs=1, device="cpu", use_visualdl=False)
    values["Optimizer"] = {"lr": {"warmup_epoch": 0}}
    for side, prefix in (("Train", "train"), ("Eval", "val")):
        section = values["DataLoader"][side]
        section["dataset"].update(image_root=str(digits), cls_label_path=f"{digits}/{prefix}_list.txt")
        section.update(sampler={"batch_size": 20}, loader={"num_workers": 1 if side == "Train" else 0})
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


def test_the_page_is_about_thirty_lines():
    code = [line for line in PARTS.splitlines() if line.strip()]
    assert len(code) <= 30


def test_train_evaluate_export_and_infer_with_components_of_ones_own(mine, digits, run):
    """The commands of docs/your_own.md, and what they say without the file."""
    run("train", "-c", "mine.yaml", cwd=mine)
    digest = sources.sha256(mine / "my_parts.py")
    record = {"name": "my_parts.py", "path": str(mine / "my_parts.py"), "sha256": digest}
    out = mine / "output" / "mine"
    kept = yaml.safe_load((out / "config.yaml").read_text())["Global"]
    assert (kept["imports"], kept["imported"]) == ([], [record])
    saved = json.loads((out / "best_model.pdstates").read_text())["config"]["Global"]
    assert (saved["imports"], saved["imported"]) == ([], [record])

    weights = "Global.pretrained_model=output/mine/best_model"
    assert "top1" in json.loads(run("eval", "-c", "mine.yaml", "-o", weights, cwd=mine).stdout)
    advice = f"was made with my_parts.py: add --import {mine}/my_parts.py"
    for command in (
        ("export", "output/mine"),
        ("infer", "output/mine", digits / "val"),
        ("eval", "-c", "output/mine/config.yaml", "-o", weights),
    ):
        assert advice in run(*command, code=2, cwd=mine).stderr
    run("export", "output/mine", "--import", "my_parts.py", cwd=mine)
    described = yaml.safe_load((out / "inference" / "inference.yml").read_text())
    assert described["PreProcess"]["imports"] == described["Model"]["imports"] == [record]

    assert advice in run("infer", "output/mine/inference", digits / "val", code=2, cwd=mine).stderr
    imported = ("--import", "my_parts.py")
    answers = json.loads(run("infer", "output/mine/inference", digits / "val", *imported, cwd=mine).stdout)
    of_run = json.loads(run("infer", "output/mine", digits / "val", *imported, cwd=mine).stdout)
    assert [answer["class_ids"] for answer in answers] == [answer["class_ids"] for answer in of_run]
    assert len(answers) == 40


def test_predictor_takes_imports_and_warns_of_another_version(mine, run, monkeypatch):
    run("train", "-c", "mine.yaml", cwd=mine)
    run("export", "output/mine", "--import", "my_parts.py", cwd=mine)
    export = mine / "output" / "mine" / "inference"
    with pytest.raises(ConfigError, match=r"inference was made with my_parts\.py: add --import .*import_components"):
        ppcls.Predictor(export)
    (mine / "my_parts.py").write_text(PARTS + "\n")
    warnings = []
    logger = SimpleNamespace(warning=lambda text, *values: warnings.append(text % values))
    monkeypatch.setattr(sources, "get_logger", lambda: logger)
    predictor = ppcls.Predictor(export, imports=[str(mine / "my_parts.py")])
    assert "was made with another version of my_parts.py" in warnings[0]
    image = np.full((32, 32, 3), 100, np.uint8)
    assert len(predictor.predict(image)[0]["class_ids"]) == 3


def test_a_run_continues_with_a_changed_file_and_says_so(mine, run):
    run("train", "-c", "mine.yaml", cwd=mine)
    with (mine / "my_parts.py").open("a") as file:
        file.write("\n# changed\n")
    more = ("-o", "Global.epochs=2", "Global.checkpoints=auto")
    done = run("train", "-c", "mine.yaml", *more, cwd=mine)
    assert re.search(
        r"Global\.imported was \['my_parts\.py \w{12}'\] when this run was saved, and is \['my_parts\.py \w{12}'\] now",
        done.stderr,
    )
    assert json.loads(done.stdout)["epoch"] in (1, 2)


def test_workers_that_are_not_forked_import_the_file_themselves(mine, monkeypatch):
    from ppcls.data.loader import pool
    from ppcls.engine.data import build_loader

    config = ppcls.load_config(mine / "mine.yaml")
    with build_loader(config, "Train") as loader:
        (first, *_) = loader.epoch(0)
    monkeypatch.setattr(pool, "can_fork", lambda: False)
    with build_loader(config, "Train") as loader:
        (again, *_) = loader.epoch(0)
    np.testing.assert_array_equal(again.images, first.images)


def test_commands_show_what_is_registered(mine, run):
    (row,) = json.loads(run("models", "TwoC*", "--json", "--import", "my_parts.py", cwd=mine).stdout)
    assert row == {"name": "TwoConvs", "imported": str(mine / "my_parts.py")}
    schema = json.loads(run("config", "--json-schema", "--import", "my_parts.py", cwd=mine).stdout)
    assert schema["$defs"]["loss.item"]["properties"]["FocalError"]
    assert "TwoConvs" in schema["$defs"]["ArchSection"]["properties"]["name"]["enum"]
    (mine / "sub").mkdir()
    shown = run("config", "-c", "../mine.yaml", cwd=mine / "sub").stdout
    (mine / "sub" / "shown.yaml").write_text(shown)
    assert run("config", "-c", "sub/shown.yaml", cwd=mine).stdout.count(str(mine / "my_parts.py")) >= 2


def test_paths_of_a_recipe_are_relative_to_the_file_that_they_are_written_in(mine, monkeypatch):
    (mine / "deep").mkdir()
    top = write(mine / "deep" / "top.yaml", "_base_: ../mine.yaml\nGlobal: {epochs: 3}\n")
    monkeypatch.chdir("/")
    assert ppcls.load_config(top).Arch.name == "TwoConvs"
    with pytest.raises(
        ConfigError, match=r"-o Global\.imports=\[my_parts\.py\]: Global\.imports: my_parts\.py: no such file"
    ):
        ppcls.load_config(top, ["Global.imports=[my_parts.py]"])


def test_a_recipe_stored_in_a_checkpoint_imports_nothing(mine):
    from ppcls import config
    from ppcls.engine.components import REGISTRIES

    values = {**config.load(mine / "mine.yaml", registries=REGISTRIES).plain(), "Stages": None}
    values["Global"]["imports"] = [str(write(mine / "evil.py", "raise SystemExit('was imported')"))]
    with pytest.raises(ConfigError, match=r"asks to import .*evil\.py, which no checkpoint may"):
        config.load_values(values, "x.pdstates", registries=REGISTRIES)


def test_an_unknown_name_says_how_to_add_one(recipe):
    with pytest.raises(
        ConfigError, match=r"unknown loss 'MyLoss'.*; add your own with --import FILE or Global\.imports"
    ):
        ppcls.load_config(recipe, ["Loss.Train=[{MyLoss: {}}]"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "x = 1\nx.y()\n",
            r"bad\.py: cannot be imported: .*bad\.py:2: AttributeError: 'int' object has no attribute 'y'",
        ),
        ("def f(:\n", r"bad\.py:1: SyntaxError"),
        ("import sys\nsys.exit(3)\n", r"bad\.py:2: SystemExit: 3"),
        ("import nothing_of_this_name\n", r"bad\.py:1: ModuleNotFoundError"),
        (
            "import ppcls\n@ppcls.LOSSES.register\nclass CELoss: pass\n",
            r"bad\.py:2: loss 'CELoss' is registered twice: by ppcls",
        ),
        (
            "import ppcls\n@ppcls.METRICS.register\nclass Mine:\n    def __init__(self, **options): pass\n",
            r"bad\.py:2: metric 'Mine': it takes \*\*options; name all arguments",
        ),
        (
            "import ppcls\nfrom paddle import nn\n@ppcls.BACKBONES.register\nclass Net(nn.Layer): pass\n",
            r"bad\.py:3: architecture 'Net': its constructor must take class_num",
        ),
    ],
)
def test_errors_while_importing_name_the_line_and_who_asked(tmp_path, recipe, text, message):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        ppcls.load_config(recipe, [f"Global.imports=[{tmp_path}/bad.py]"])
    assert str(caught.value).startswith("-o Global.imports=")
    (tmp_path / "bad.py").write_text("import ppcls\n@ppcls.LOSSES.register\nclass Good: pass\n")
    ppcls.import_components(tmp_path / "bad.py")  # what failed left nothing behind
    assert "Good" in ppcls.LOSSES


def test_twice_the_same_file_and_twice_the_same_name(tmp_path):
    (tmp_path / "parts.py").write_text("import ppcls\n@ppcls.LOSSES.register\nclass Mine: pass\n")
    (tmp_path / "others.py").write_text("import ppcls\n@ppcls.LOSSES.register\nclass Mine: pass\n")
    (tmp_path / "link.py").symlink_to(tmp_path / "parts.py")
    for name in ("parts.py", "parts.py", "link.py"):
        ppcls.import_components(tmp_path / name)
    with pytest.raises(ConfigError, match=r"'Mine' is registered twice: by .*/parts\.py and by .*/others\.py"):
        ppcls.import_components(tmp_path / "others.py")


def test_a_file_imports_its_neighbours_and_modules_are_found_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "neighbour_of_mine.py").write_text("import ppcls\n@ppcls.LOSSES.register\nclass FromNeighbour: pass\n")
    (tmp_path / "parts.py").write_text("import neighbour_of_mine\n")
    (tmp_path / "module_of_mine.py").write_text("import ppcls\n@ppcls.LOSSES.register\nclass FromModule: pass\n")
    monkeypatch.chdir(tmp_path)
    ppcls.import_components("parts.py")
    ppcls.import_components("module_of_mine")
    assert ppcls.LOSSES["FromNeighbour"].source.name == "parts.py"
    assert ppcls.LOSSES["FromModule"].source.path == tmp_path / "module_of_mine.py"
    with pytest.raises(ConfigError, match="no module nothing_here is installed"):
        ppcls.import_components("nothing_here")
    ppcls.import_components("./module_of_mine.py")  # the same file under another name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("Arch.widht=3", r"Arch\.widht: unknown argument; did you mean 'width'\?"),
        ("DataLoader.Eval.dataset.transform_ops.2.Contrast.factor=x", r"Contrast\.factor: must be a number, not 'x'"),
        ("DataLoader.Eval.dataset.transform_ops.2.Contrast.facto=1", r"Contrast\.facto: unknown argument"),
    ],
)
def test_arguments_are_checked_as_ours_are(mine, change, message):
    with pytest.raises(ConfigError, match=message):
        ppcls.load_config(mine / "mine.yaml", [change])
    assert ppcls.load_config(mine / "mine.yaml", ["Arch.width=1e1"]).Arch.arguments["width"] == 10


def test_a_constructor_that_fails_is_a_mistake_of_the_recipe(tmp_path, recipe):
    parts = write(
        tmp_path / "parts.py",
        """
        import ppcls

        @ppcls.TRANSFORMS.register
        class Broken:
            def __init__(self, sides):
                self.area = sides["wrong"]
        """,
    )
    changes = [f"Global.imports=[{parts}]", "DataLoader.Eval.dataset.transform_ops=[{Broken: {sides: [1, 2]}}]"]
    with pytest.raises(ConfigError, match=rf"transform_ops\.0\.Broken: of {parts}: {parts}:7: TypeError: list indices"):
        ppcls.load_config(recipe, changes)


def test_what_the_calling_code_provides_is_passed_by_name(tmp_path):
    write(
        tmp_path / "parts.py",
        """
        import paddle, ppcls

        @ppcls.LOSSES.register
        class NeedsClasses:
            def __init__(self, class_num, power=1):
                self.scale = class_num ** power

            def __call__(self, logits, targets):
                return logits.sum(1) * self.scale

        @ppcls.OPTIMIZERS.register
        def PlainSGD(learning_rate, parameters, momentum=0.5):
            return paddle.optimizer.Momentum(learning_rate, momentum, parameters)

        @ppcls.SCHEDULES.register
        class Halving:
            def __init__(self, learning_rate: float, epochs, steps_per_epoch):
                self.rate, self.steps = learning_rate, steps_per_epoch

            def lr_at(self, step):
                return self.rate / 2 ** (step // self.steps)

        @ppcls.DATASETS.register
        class Squares:
            class_names = ["dark", "bright"]

            def __init__(self, count, train):
                self.count = count if train else 4

            def __len__(self):
                return self.count

            def __getitem__(self, index):
                import numpy as np

                return np.full((8, 8, 3), 255 * (index % 2), np.uint8), index % 2
        """,
    )
    ppcls.import_components(tmp_path / "parts.py")
    assert [parameter.name for parameter in ppcls.LOSSES["NeedsClasses"].parameters()] == ["power"]
    normalize = [{"NormalizeImage": {"order": ""}}, {"ToCHWImage": None}]
    recipe = {
        "Global": {"epochs": 2, "device": "cpu", "output_dir": str(tmp_path / "out"), "image_shape": (3, 8, 8)},
        "Arch": {"name": "ConvMixer", "class_num": 2, "dim": 4, "depth": 1, "kernel_size": 3, "patch_size": 2},
        "Loss": {"Train": [{"NeedsClasses": {"power": 2}}]},
        "Optimizer": {"name": "PlainSGD", "momentum": 0.1, "lr": {"name": "Halving", "learning_rate": 1e-2}},
        "DataLoader": {
            side: {
                "dataset": {"name": "Squares", "count": np.int64(8), "transform_ops": normalize},
                "sampler": {"batch_size": 4},
                "loader": {"num_workers": 0},
            }
            for side in ("Train", "Eval")
        },
    }
    ppcls.train(ppcls.load_config(recipe))
    states = json.loads((tmp_path / "out" / "latest.pdstates").read_text())
    assert states["class_names"] == ["dark", "bright"]
    assert [record["name"] for record in states["config"]["Global"]["imported"]] == ["parts.py"]
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    rates = [line["lr"] for line in lines if "lr" in line]
    assert rates[0] == 1e-2
    assert rates[-1] == 5e-3


def test_registries_check_what_other_peoples_code_makes():
    registry = Registry("schedule", interface=("lr_at",), base="ppcls.optimizer.Schedule")
    registry.register(lambda: {"no": "schedule"}, name="Wrong")
    with pytest.raises(
        ConfigError, match=r"Wrong: of .*test_extensions\.py: a schedule needs lr_at, which dict does not"
    ):
        registry.build("Wrong")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda image: None, "returned NoneType, not an array"),
        (lambda image: image.nothing, r"AttributeError: .*'nothing' \(got uint8 array of shape \[2, 2, 3\]\)"),
    ],
)
def test_a_transform_that_fails_is_named(function, message):
    ppcls.TRANSFORMS.register(lambda: function, name="Failing")
    from ppcls.data.transforms import build_transforms

    transforms = build_transforms([{"Failing": None}])
    with pytest.raises(ConfigError, match=f"Failing: .*{message}"):
        transforms(np.zeros((2, 2, 3), np.uint8), np.random.default_rng(0))


def test_a_transform_may_be_random_or_not(tmp_path):
    ppcls.TRANSFORMS.register(lambda: lambda image: image + 1, name="Plain")
    ppcls.TRANSFORMS.register(lambda: lambda image, rng: image + rng.integers(5, 6, dtype=np.uint8), name="Random")
    ppcls.TRANSFORMS.register(lambda: lambda image, rng, third: image, name="TooMany")
    from ppcls.data.transforms import build_transforms

    image = np.zeros((2, 2, 3), np.uint8)
    made = build_transforms([{"Plain": None}, {"Random": {}}])(image, np.random.default_rng(0))
    np.testing.assert_array_equal(made, image + 6)
    with pytest.raises(ConfigError, match=r"called with \(image, rng\) or \(image\)"):
        build_transforms([{"TooMany": None}])


def test_what_needs_the_base_class_says_so(mine):
    with pytest.raises(ConfigError, match="layer_decay: TwoConvs has no depth_of"):
        config = ppcls.load_config(mine / "mine.yaml", ["Optimizer.layer_decay=0.5", f"Global.output_dir={mine}/out"])
        ppcls.train(config)


def test_importing_components_does_not_import_paddle(tmp_path):
    (tmp_path / "light.py").write_text(
        "import ppcls\n@ppcls.TRANSFORMS.register\nclass Light:\n    def __call__(self, image): return image\n"
    )
    code = "import sys, ppcls; ppcls.import_components('light.py')\n"
    code += "print('paddle' in sys.modules, 'Light' in ppcls.TRANSFORMS)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert done.stdout.split() == ["False", "True"]


def wheel(folder, name, module):
    """Write a wheel of one module that is an entry point; return its path."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[ppcls.components]\nparts = {name}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in (*files, f"{info}/RECORD"))
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def test_installed_packages_register_themselves(tmp_path, recipe):
    good = "import ppcls\nprint('imported')\n@ppcls.LOSSES.register\nclass Packed:\n"
    good += "    def __call__(self, logits, targets): return logits.sum(1)\n"
    wheels = [wheel(tmp_path, "packed_parts", good), wheel(tmp_path, "broken_parts", "import nothing_like_this\n")]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(tmp_path / "site"), *map(str, wheels)], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path / 'site'}"}

    def call(*arguments, code=0):
        command = [sys.executable, "-m", "ppcls", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        assert done.returncode == code, done.stderr
        return done

    def config(*changes, code=0):
        return call("config", "-c", recipe, "-o", "Global.seed=1", *changes, code=code)

    assert "imported" not in call("--help").stdout
    assert "imported\n" not in config().stdout  # nothing of theirs is named
    done = config("Loss.Train=[{Packed: {}}]")
    assert "name: packed_parts" in done.stdout
    reason = (
        r"entry point 'parts' \(broken_parts\) of the package broken_parts 1\.0: cannot be imported: .*nothing_like_"
    )
    assert re.search(f"WARNING: {reason}", done.stderr)
    done = config("Loss.Train=[{Pcked: {}}]", code=2)
    assert re.search(rf"error: .*unknown loss 'Pcked'; did you mean 'Packed'\?.*{reason}", done.stderr, re.DOTALL)


def test_help_loads_neither_components_nor_what_finds_them():
    code = "import sys; from ppcls import cli\ntry: cli.main(['--help'])\nexcept SystemExit: print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "Train and evaluate:\n  train " in done.stdout
    for module in ("importlib.metadata", "ppcls.registry", "ppcls.config.loading", "numpy", "paddle", "asyncio"):
        assert f"'{module}'" not in done.stdout
