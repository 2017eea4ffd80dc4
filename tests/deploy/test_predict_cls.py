"""``deploy/python/predict_cls.py`` on an exported model."""

import ast
import hashlib
import re
import shutil
import subprocess
import sys

import paddle
import pytest
import yaml

import ppcls
from ppcls.data.datasets.names import read_class_names
from ppcls.utils import imagenet
from tests.helpers.command_line import process_environment, run_python
from tests.helpers.recipes import ROOT, write_recipe

SCRIPT, RECIPE = ROOT / "deploy" / "python" / "predict_cls.py", ROOT / "deploy" / "configs" / "inference_cls.yaml"
LINE = r"(\S+):\tclass id\(s\): \[([\d, ]+)\], score\(s\): \[([\d., ]+)\], label_name\(s\): \[(.*)\]"


@pytest.fixture
def predict(models, digits, tmp_path, capfd):
    """Return a function that runs the script's command in this process and returns its exit code and its texts."""
    from ppcls.cli import script
    from ppcls.commands.predict_cls import COMMAND

    def call(*changes, recipe=RECIPE, code=0):
        where = [f"Global.infer_imgs={digits}/val", f"Global.inference_model_dir={models}/inference"]
        assert script(COMMAND, ["-c", str(recipe), "-o", *where, *changes]) == code
        return capfd.readouterr()

    return call


def test_the_script_prints_a_line_for_each_image(models, digits, tmp_path):
    command = [sys.executable, SCRIPT, "-c", RECIPE, "-o", f"Global.infer_imgs={digits}/val", "-o"]
    done = subprocess.run(
        [*command, f"Global.inference_model_dir={models}/inference"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=process_environment(),
        check=True,
    )
    lines = [re.fullmatch(LINE, line) for line in done.stdout.splitlines()]
    assert len(lines) == 40
    assert lines[0][1] == "000.png"
    assert all(len(line[2].split(", ")) == 5 for line in lines)
    assert all(re.fullmatch(r"\d\.\d\d", score) for score in lines[0][3].split(", "))


def test_the_answers_are_those_of_the_predictor(models, digits, predict):
    expected = ppcls.Predictor(models / "inference", topk=2).predict(digits / "val")
    for changes in ((), ("Global.batch_size=7",), ("Global.use_onnx=false",), ("Global.use_onnx=true",)):
        out = predict("PostProcess.Topk.topk=2", *changes).out
        found = [re.fullmatch(LINE, line)[2] for line in out.splitlines()]
        assert found == [", ".join(map(str, answer["class_ids"])) for answer in expected]


@pytest.fixture
def unnamed(models, tmp_path):
    """Return the change of the recipe that takes a copy of the export without class names."""
    shutil.copytree(models / "inference", tmp_path / "unnamed")
    file = tmp_path / "unnamed" / "inference.yml"
    description = yaml.safe_load(file.read_text())
    del description["PostProcess"]["Topk"]["label_list"]
    file.write_text(yaml.safe_dump(description))
    return [f"Global.inference_model_dir={tmp_path}/unnamed", "Global.use_onnx=false"]


def test_names_of_a_file_are_used_where_the_export_has_none(digits, predict, unnamed, tmp_path):
    done = predict(*unnamed, "PostProcess.Topk.topk=1", f"PostProcess.Topk.class_id_map_file={digits}/labels.txt")
    ids, names = zip(*((match[2], match[4]) for match in re.finditer(LINE, done.out)))
    assert list(names) == [f"'digit-{number}'" for number in ids]
    assert not done.err

    (tmp_path / "short.txt").write_text("0 one\n1 two\n")
    done = predict(*unnamed, f"PostProcess.Topk.class_id_map_file={tmp_path}/short.txt")
    assert "short.txt has 2 names for 10 classes; ignored" in done.err
    assert "label_name(s): []" in done.out

    done = predict(*unnamed, "PostProcess.Topk.class_id_map_file=nowhere.txt")
    assert "PostProcess.Topk.class_id_map_file: no such file: nowhere.txt; ignored" in done.err


def test_a_delimiter_and_the_list_of_imagenet(predict, unnamed, tmp_path):
    (tmp_path / "names.txt").write_text("".join(f"{number}:digit {number}\n" for number in range(10)))
    names = f"PostProcess.Topk.class_id_map_file={tmp_path}/names.txt"
    assert "'digit 3'" in predict(*unnamed, names, "PostProcess.Topk.delimiter=:").out
    done = predict(*unnamed, "PostProcess.Topk.class_id_map_file=../ppcls/utils/imagenet1k_label_list.txt")
    assert "no such file: ../ppcls/utils/imagenet1k_label_list.txt; ignored" in done.err


@pytest.fixture(scope="module")
def thousand(digits, tmp_path_factory):
    """Return an export with 1000 classes."""
    folder = tmp_path_factory.mktemp("thousand")
    recipe = write_recipe(digits, folder)
    changes = {"Arch.class_num": 1000, "Global.save_inference_dir": str(folder / "inference")}
    config = ppcls.load_config(recipe, {**changes, "Global.pretrained_model": f"{folder}/w"})
    arguments = {key: value for key, value in config.Arch.arguments.items() if value is not None}
    paddle.save(ppcls.create_model("ConvMixer", class_num=1000, **arguments).state_dict(), f"{folder}/w.pdparams")
    ppcls.export(config)
    return folder / "inference"


@pytest.mark.parametrize("kind", ["imagenet", "subset", "other", None])
def test_imagenets_names_are_for_its_folders_only(thousand, predict, tmp_path, monkeypatch, kind):
    shutil.copytree(thousand, tmp_path / "model")
    file = tmp_path / "model" / "inference.yml"
    description = yaml.safe_load(file.read_text())
    own = None if kind is None else [f"{'n' if kind != 'other' else 'my-'}{number:08d}" for number in range(1000)]
    description["PostProcess"]["Topk"]["label_list"] = own
    file.write_text(yaml.safe_dump(description))
    if kind == "imagenet":
        digest = hashlib.sha256("\n".join(own).encode()).hexdigest()
        monkeypatch.setattr(imagenet, "FOLDERS_SHA256", digest)  # the real names are not here
    where = (f"Global.inference_model_dir={tmp_path}/model", "Global.use_onnx=false", "PostProcess.Topk.topk=1")

    def names(given):
        done = predict(*where, f"PostProcess.Topk.class_id_map_file={given}")
        ids, found = zip(*((int(match[2]), match[4]) for match in re.finditer(LINE, done.out)))
        return ids, [ast.literal_eval(name) if name else None for name in found], done.err

    words = read_class_names(imagenet.LABEL_LIST)
    ids, found, said = names("nowhere/imagenet1k_label_list.txt")
    expected = words if kind == "imagenet" else own
    assert found == [expected[index] if expected else None for index in ids]
    assert ("ignored" in said) == (kind != "imagenet")
    ids, found, said = names(shutil.copy(imagenet.LABEL_LIST, tmp_path))
    expected = words if kind in ("imagenet", None) else own
    assert found == [expected[index] for index in ids]
    assert ("using the names of the model" in said) == (kind in ("subset", "other"))


def test_names_that_differ_from_those_of_the_export_are_said(digits, predict, tmp_path):
    assert not predict("PostProcess.Topk.topk=5", f"PostProcess.Topk.class_id_map_file={digits}/labels.txt").err
    done = predict("PostProcess.Topk.label_list=[a, b, c, d, e, f, g, h, i, j]")
    assert "PostProcess.Topk.label_list: class 0 is 'a' there, and 'digit-0' in" in done.err
    assert "using the names of the recipe" in done.err
    assert "'digit-" not in done.out
    (tmp_path / "turned.txt").write_text("".join(f"{number} digit-{9 - number}\n" for number in range(10)))
    done = predict(f"PostProcess.Topk.class_id_map_file={tmp_path}/turned.txt")
    assert "in another order; that of training is used" in done.err
    assert done.out == predict("PostProcess.Topk.topk=5").out
    done = predict("PostProcess.Topk.label_list=[a, b]")
    assert "2 names for 10 classes; ignored" in done.err
    assert "'digit-" in done.out


def test_preprocessing_that_differs_is_said_and_not_used(models, predict, tmp_path):
    values = yaml.safe_load(RECIPE.read_text())
    normalize = {"scale": 0.00392157, "mean": [0.5] * 3, "std": [0.5] * 3, "order": "", "channel_num": 3}
    expected = predict().out

    def with_ops(*ops, code=0):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({**values, "PreProcess": {"transform_ops": [*ops]}}))
        return predict(recipe=path, code=code)

    same = with_ops({"NormalizeImage": normalize}, {"ToCHWImage": None})
    assert same.out == expected
    assert not same.err
    other = with_ops({"NormalizeImage": {**normalize, "mean": [0.4] * 3}}, {"ToCHWImage": None})
    assert other.out == expected
    assert "makes pixels that differ by up to 0.2. The preprocessing in the export is used" in other.err
    resized = with_ops({"ResizeImage": {"size": 8}}, {"NormalizeImage": normalize}, {"ToCHWImage": None})
    assert "makes images of [3, 8, 8], not [3, 375, 500]" in resized.err
    assert "PreProcess.transform_ops" in with_ops({"ResizeImage": {"sise": 8}}, code=2).err


def test_images_are_sorted_by_their_class(predict, digits, tmp_path):
    out = predict("PostProcess.Topk.topk=1", f"PostProcess.SavePreLabel.save_dir={tmp_path}/sorted").out
    expected = sorted(f"{match[2]}/{match[1]}" for match in re.finditer(LINE, out))
    assert sorted(str(path.relative_to(tmp_path / "sorted")) for path in (tmp_path / "sorted").glob("*/*")) == expected


def test_images_of_one_name_do_not_overwrite_each_other(predict, digits, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / "images" / folder).mkdir(parents=True)
        shutil.copy(digits / "val" / "000.png", tmp_path / "images" / folder)
    for images, expected in (("images", ["a/000.png", "b/000.png"]), ("images/*/*.png", ["000.png", "000_2.png"])):
        target = tmp_path / f"sorted_{len(images)}"
        for _ in range(2):  # the same again does not add to it
            done = predict(
                f"Global.infer_imgs={tmp_path}/{images}",
                "PostProcess.Topk.topk=1",
                f"PostProcess.SavePreLabel.save_dir={target}",
            )
            assert not done.err
            (folder,) = target.iterdir()
            assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png")) == expected


def test_a_broken_image_is_said_and_the_others_are_answered(predict, digits, tmp_path):
    shutil.copy(digits / "val" / "000.png", tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("not an image")
    done = predict(f"Global.infer_imgs={tmp_path}", code=2)
    assert len(done.out.splitlines()) == 1
    assert "bad.png: DecodeImage" in done.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("Global.batchsize=4", "Global.batchsize: unknown key; did you mean 'batch_size'?"),
        ("Global.batch_size=0", "Global.batch_size: must be greater than or equal to 1"),
        (
            "Global.infer_imgs=nowhere",
            "-o Global.infer_imgs=nowhere: Global.infer_imgs: nowhere: no such image or folder",
        ),
        ("Global.inference_model_dir=nowhere", "nowhere: no such folder or file"),
        ("Global.use_gpu=true", "device gpu:0: the backend"),
        ("Global.use_fp16=true", "Global.use_fp16: true is not available: export the model with --fp16"),
        ("PostProcess.Topk.topk=none", "-o PostProcess.Topk.topk=none: PostProcess.Topk.topk: must be a whole number"),
        ("PostProcess.Topk.class_id_map_file=[a]", "PostProcess.Topk.class_id_map_file: must be text, not ['a']"),
        ("PostProcess.Topk.label_list=3", "PostProcess.Topk.label_list: must be a list, not 3"),
        ("PostProcess={Topk: {}, ThreshOutput: {}}", "one post-processing expected, not Topk and ThreshOutput"),
        ("PostProcess={main_indicator: ScoreOutput, Topk: {}}", "ScoreOutput, which is not there (Topk)"),
        ("PostProcess.main_indicator=ScoreOutput", "main_indicator names ScoreOutput, which is not there; remove it"),
    ],
)
def test_mistakes_end_with_code_2_before_any_work(predict, change, message):
    done = predict(change, code=2)
    assert message in done.err
    assert "Traceback" not in done.err
    assert not done.out


def test_a_recipe_that_is_missing_is_said(predict, tmp_path):
    assert "nothing.yaml: no such file" in predict(recipe=tmp_path / "nothing.yaml", code=2).err


def test_the_keys_of_paddleclas_are_known(predict, tmp_path):
    """The values are those that its own file has for a processor."""
    values = yaml.safe_load(RECIPE.read_text())
    values["Global"].update(
        {"enable_mkldnn": False, "enable_benchmark": True, "use_fp16": False, "ir_optim": False, "use_tensorrt": False}
    )
    values["Global"].update({"gpu_mem": 8000, "enable_profile": False, "cpu_num_threads": 2})
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    done = predict(recipe=tmp_path / "recipe.yaml")
    assert len(done.out.splitlines()) == 40
    assert "recipe.yaml:" in done.err
    assert "Global.enable_mkldnn: false has no effect: Paddle 3 always uses oneDNN" in done.err


def test_no_paddle_is_needed_for_onnx(models, digits):
    code = (
        "import sys; from ppcls.cli import script; from ppcls.commands.predict_cls import COMMAND; "
        "code = script(COMMAND); assert 'paddle' not in sys.modules; sys.exit(code)"
    )
    where = ["-o", f"Global.infer_imgs={digits}/val", f"Global.inference_model_dir={models}/inference"]
    done = run_python(code, "-c", RECIPE, *where, "Global.use_onnx=true")
    assert len(done.stdout.splitlines()) == 40
