"""The example pictures of an export."""

import json
import shutil

import cv2
import numpy as np
import pytest
import yaml

import ppcls
from ppcls.errors import ConfigError, DataError
from ppcls.exporting.examples import choose
from ppcls.exporting.options import Options
from ppcls.inference import description, examples
from tests.helpers.exports import prepared
from tests.helpers.multilabel import labels_of, write_multilabel_recipe


@pytest.fixture(scope="module")
def exported(digits, tmp_path_factory):
    """Return the folder of an export with twelve examples."""
    folder = tmp_path_factory.mktemp("examples")
    ppcls.export(prepared("ConvMixer", digits, folder), Options(examples=12))
    return folder / "model"


def lines(digits):
    return [line.split() for line in (digits / "val_list.txt").read_text().splitlines()]


def pixels(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).astype(int)


def test_each_class_has_one_first_and_pictures_have_their_class(exported, digits):
    found = examples.read(description.read(exported))
    ids = [example.class_ids for example in found]
    assert ids == [(digit,) for digit in (*range(10), 0, 1)]
    originals = [(cv2.imread(str(digits / name)).astype(int), int(digit)) for name, digit in lines(digits)]
    nearest = []
    for example in found:
        distances = [np.abs(pixels(example.data) - original).mean() for original, _ in originals]
        nearest.append(int(np.argmin(distances)))
        assert min(distances) < 6  # of 255: it is this picture, but for JPEG
    assert len(set(nearest)) == 12
    assert [(originals[place][1],) for place in nearest] == ids


def test_the_names_of_files_are_not_shipped(exported, digits):
    files = sorted(path.name for path in (exported / "inference_examples").iterdir())
    assert files == sorted(f"{number}.jpg" for number in range(1, 13))
    names = [name for name, _ in lines(digits)]
    assert not [name for name in names if name in (exported / "inference.yml").read_text()]


def test_a_picture_is_made_smaller_and_loses_its_metadata(digits, tmp_path):
    from PIL import Image

    with Image.fromarray(np.random.default_rng(0).integers(0, 256, (600, 900, 3), np.uint8)) as photo:
        exif = photo.getexif()
        exif[0x0112], exif[0x010E] = 6, "at home"  # turned by a quarter
        photo.save(tmp_path / "photo.jpg", exif=exif)
    (tmp_path / "val.txt").write_text("photo.jpg 3\n")
    section = "DataLoader.Eval.dataset"
    changes = {f"{section}.image_root": tmp_path, f"{section}.cls_label_path": tmp_path / "val.txt"}
    config = prepared("ConvMixer", digits, tmp_path, **changes, **{"Infer.infer_imgs": digits / "val"})
    ppcls.export(config, Options(examples=1))
    (example,) = examples.read(description.read(tmp_path / "model"))
    assert example.class_ids == (3,)
    assert pixels(example.data).shape == (384, 256, 3)
    assert b"at home" in (tmp_path / "photo.jpg").read_bytes()
    assert b"at home" not in example.data and b"Exif" not in example.data


def test_a_later_export_without_examples_takes_them_away(exported, digits, tmp_path):
    config = prepared("ConvMixer", digits, tmp_path)
    shutil.copytree(exported, tmp_path / "model")
    ppcls.export(config)
    assert examples.read(description.read(tmp_path / "model")) == []
    assert not (tmp_path / "model" / "inference_examples").exists()


def test_an_onnx_file_that_may_go_alone_has_none(digits, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("paddle2onnx")
    ppcls.export(prepared("ConvMixer", digits, tmp_path), Options(onnx=True, examples=2))
    assert len(examples.read(description.read(tmp_path / "model"))) == 2
    assert examples.read(description.read(tmp_path / "model" / "inference.onnx")) == []


def test_multi_label_examples_have_all_their_classes(run, digits, tmp_path):
    recipe = write_multilabel_recipe(digits, tmp_path)
    run("train", "-c", recipe, "-o", "Global.epochs=1")
    report = run("export", tmp_path / "out", "--examples", "6")
    folder = json.loads(report.stdout)["folder"]
    assert "6 examples of DataLoader.Eval, " in report.stderr
    truths = {
        (digits / name).name: tuple(np.flatnonzero(labels_of(int(digit))).tolist()) for name, digit in lines(digits)
    }
    originals = {name: cv2.imread(str(digits / "val" / name)).astype(int) for name in truths}
    found = examples.read(description.read(tmp_path / folder))
    assert len(found) == 6
    for example in found:
        nearest = min(originals, key=lambda name: np.abs(pixels(example.data) - originals[name]).mean())
        assert example.class_ids == truths[nearest] != ()


@pytest.mark.parametrize(
    ("labels", "count", "classes"),
    [
        ([2, 2, 0, 1], 3, [0, 1, 2]),
        ([2, 2, 0, 1], 4, [0, 1, 2, 2]),
        ([2, 2, 0, 1], 9, [0, 1, 2, 2]),
        ([2, 2, 0, 1], 1, [0]),
        (list(range(100)) * 2, 3, [0, 49, 99]),
        ([7, 7, 7], 2, [7, 7]),
    ],
)
def test_classes_take_turns(labels, count, classes):
    chosen = choose(np.array(labels), count)
    assert [labels[index] for index in chosen] == classes
    assert len(set(chosen)) == len(chosen)
    assert chosen == choose(np.array(labels), count)


def test_an_image_of_several_classes_is_chosen_once():
    labels = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0]], np.float32)
    assert sorted(choose(labels, 5)) == [0, 2]


def test_fewer_images_than_asked_for_are_said(run, digits, tmp_path):
    (tmp_path / "few.txt").write_text("val/000.png 0\nval/004.png 4\n")
    prepared("ConvMixer", digits, tmp_path)
    done = run(
        *("export", "-c", tmp_path / "recipe.yaml", "--examples", "6"),
        *("-o", f"DataLoader.Eval.dataset.cls_label_path={tmp_path}/few.txt"),
    )
    assert "2 examples, not 6: DataLoader.Eval has no more images" in done.stderr


@pytest.mark.parametrize("count", [-1, 51])
def test_as_many_as_the_page_can_show(count):
    with pytest.raises(ConfigError, match=f"examples: from 0 to 50 pictures, got {count}"):
        Options(examples=count)


def test_there_must_be_an_evaluation_set_that_can_be_read(digits, tmp_path):
    config = prepared("ConvMixer", digits, tmp_path)
    values = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    values["Infer"]["transforms"] = values["DataLoader"].pop("Eval")["dataset"]["transform_ops"]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(
        ConfigError, match=r"examples are pictures of DataLoader\.Eval, which this recipe does not have"
    ):
        ppcls.export(ppcls.load_config(tmp_path / "recipe.yaml"), Options(examples=1))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "val.txt").write_text("broken.png 3\n")
    section = "DataLoader.Eval.dataset"
    changes = {f"{section}.image_root": tmp_path, f"{section}.cls_label_path": tmp_path / "val.txt"}
    config = prepared("ConvMixer", digits, tmp_path, **changes, **{"Infer.infer_imgs": digits / "val"})
    with pytest.raises(DataError, match=r"broken\.png: .*; repair or remove it, or export without examples"):
        ppcls.export(config, Options(examples=1))
    assert not (tmp_path / "model").exists()


def missing(folder):
    (folder / "inference_examples" / "2.jpg").unlink()


def exchanged(folder):
    shutil.copy(folder / "inference_examples" / "1.jpg", folder / "inference_examples" / "2.jpg")


def described(change):
    def damage(folder):
        values = yaml.safe_load((folder / "inference.yml").read_text())
        change(values)
        (folder / "inference.yml").write_text(yaml.safe_dump(values))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            missing,
            r"2\.jpg: cannot be read: No such file or directory; copy the whole folder, or export",
        ),
        (exchanged, r"2\.jpg: damaged, or changed since it was exported; export the model again"),
        (described(lambda values: values["Examples"][0].update(file="../../secret.jpg")), "file, sha256 and class_ids"),
        (described(lambda values: values["Examples"][0].update(class_ids=[10])), "file, sha256 and class_ids expected"),
        (described(lambda values: values["Examples"][0].pop("sha256")), "file, sha256 and class_ids expected"),
        (described(lambda values: values.update(Examples="x")), "Examples: a list expected; export the model again"),
    ],
)
def test_a_damaged_example_is_an_error_of_the_server_only(exported, tmp_path, damage, message):
    folder = shutil.copytree(exported, tmp_path / "model")
    damage(folder)
    with pytest.raises(DataError, match=message):
        examples.read(description.read(folder))
    assert len(ppcls.Predictor(str(folder)).predict(np.zeros((16, 16, 3), np.uint8))) == 1
