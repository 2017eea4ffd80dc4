"""``ppcls infer -c RECIPE``: a trained checkpoint, and the images that its recipe names."""

import json
import shutil
from pathlib import Path

import pytest


def test_infer_names_every_image_and_its_labels(trained, arguments, digits, run, tmp_path):
    done = run("infer", *arguments, f"Infer.infer_imgs={digits}/val", f"Infer.save_dir={tmp_path}/answers")
    answers = json.loads(done.stdout)
    assert [a["file_name"] for a in answers] == sorted(str(p) for p in (digits / "val").iterdir())
    assert json.loads((tmp_path / "answers" / "predictions.json").read_text()) == answers
    labels = dict(line.split() for line in (digits / "val_list.txt").read_text().splitlines())
    right = sum(a["class_ids"][0] == int(labels["val/" + Path(a["file_name"]).name]) for a in answers)
    measured = json.loads(run("eval", *arguments).stdout)["top1"]
    assert right / len(answers) == pytest.approx(measured)
    first = answers[0]
    assert first["label_names"] == [f"digit-{i}" for i in first["class_ids"]]
    assert first["scores"] == sorted(first["scores"], reverse=True)
    assert len(first["scores"]) == 5


def test_infer_from_a_list_and_a_single_image(arguments, digits, run):
    listed = run("infer", *arguments, f"Infer.infer_list={digits}/val_list.txt", f"Infer.infer_imgs={digits}")
    one = run("infer", *arguments, f"Infer.infer_imgs={digits}/val/000.png", "Infer.PostProcess.topk=1")
    answers, (answer,) = json.loads(listed.stdout), json.loads(one.stdout)
    assert len(answers) == 40
    assert answers[0]["file_name"] == answer["file_name"]
    assert answers[0]["class_ids"][:1] == answer["class_ids"]


def test_a_broken_image_is_reported_and_the_others_answered(arguments, digits, run, tmp_path):
    folder = tmp_path / "images"
    shutil.copytree(digits / "val", folder)
    (folder / "004.png").write_bytes((digits / "val" / "004.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("not an image, and not named like one")
    done = run("infer", *arguments, f"Infer.infer_imgs={folder}", f"Infer.save_dir={tmp_path}", code=2)
    answers = json.loads(done.stdout)
    broken = [a for a in answers if "error" in a]
    assert [Path(a["file_name"]).name for a in broken] == ["004.png"]
    assert len(answers) == 40
    assert all(len(a["class_ids"]) == 5 for a in answers if a not in broken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("Infer.infer_imgs=nowhere", "Infer.infer_imgs=nowhere: Infer.infer_imgs: nowhere: no such image or folder"),
        ("Infer.infer_list=nothing.txt", "nothing.txt: cannot be read"),
        ("Global.seed=0", "nothing to predict"),
    ],
)
def test_infer_without_usable_images(arguments, run, change, message):
    assert message in run("infer", *arguments, change, code=2).stderr


def test_class_names_come_from_the_file_when_there_is_one(arguments, digits, run, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"{i} class number {i}\n" for i in range(10)))
    change = f"Infer.PostProcess.class_id_map_file={names}"
    (answer,) = json.loads(run("infer", *arguments, f"Infer.infer_imgs={digits}/val/000.png", change).stdout)
    assert answer["label_names"][0] == f"class number {answer['class_ids'][0]}"
    names.write_text("0 only\n")  # of another number of classes: the run's own names are used
    done = run("infer", *arguments, f"Infer.infer_imgs={digits}/val/000.png", change)
    (answer,) = json.loads(done.stdout)
    assert "names.txt has 1 names for 10 classes; ignored" in done.stderr
    assert answer["label_names"][0] == f"digit-{answer['class_ids'][0]}"


def test_weights_with_paddleclas_states_beside_them(trained, digits, run, tmp_path):
    import pickle

    shutil.copy(trained / "out" / "best_model.pdparams", tmp_path)
    (tmp_path / "best_model.pdstates").write_bytes(pickle.dumps({"metric": 0.5, "epoch": 3}))
    changes = (f"Global.pretrained_model={tmp_path}/best_model", f"Infer.infer_imgs={digits}/val/000.png")
    (answer,) = json.loads(run("infer", "-c", trained / "recipe.yaml", "-o", *changes).stdout)
    assert answer["label_names"] == []
