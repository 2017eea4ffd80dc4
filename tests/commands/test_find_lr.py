"""``ppcls find-lr``."""

import json
import xml.etree.ElementTree as ET

from tests.starter.folders import QUICK, RATE, colours


def test_of_a_recipe(run, recipe, tmp_path):
    done = run("find-lr", "-c", recipe, "--seconds", "5")
    found = json.loads(done.stdout)
    numbers = json.loads((tmp_path / "lr_range.json").read_text())
    assert found["suggestion"] == numbers["suggestion"]
    assert found["updates"] == len(numbers["rates"])
    picture = ET.fromstring((tmp_path / "lr_range.svg").read_text())
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert f"suggested: {found['suggestion']:.1e}" in texts
    assert {"1e-5", "1e-4", "1e-3", "learning rate", "training loss"} <= set(texts)
    points = next(picture.iter("{http://www.w3.org/2000/svg}polyline")).get("points").split()
    assert len(points) == found["updates"]
    last = done.stderr.splitlines()[-1]
    assert last == f"next: ppcls train -c {recipe} -o Optimizer.lr.learning_rate={found['suggestion']:.2g}"
    assert not (tmp_path / "out").exists()
    said = done.stderr
    begin = "range test of the learning rate: up to 100 updates, from a rate of 1e-05 to 1, for about 5 seconds\n"
    end = f"done after {found['updates']} updates and {numbers['seconds']:.0f} seconds; it suggests "
    assert 0 < said.index(begin) < said.index(f"{end}{found['suggestion']:.1e}\n")


def test_of_images_and_of_a_run(run, tmp_path):
    colours(tmp_path / "photos")
    done = run("find-lr", "photos", "-o", *QUICK[5:], *RATE[1:], "--seconds", "3", "--out", "a.svg")
    assert "next: ppcls train photos -o Arch.dim=8 Arch.depth=1 Arch.kernel_size=3 DataLoader" in done.stderr
    assert not (tmp_path / "output").exists()
    run("train", "photos", *QUICK, *RATE)
    done = run("find-lr", "output/photos", "--seconds", "3", "--out", "b.svg")
    assert "next: ppcls train -c output/photos/recipe.yaml -o Optimizer.lr.learning_rate=" in done.stderr
    assert done.stderr.endswith(" Global.output_dir=output/photos_2\n")
    assert (tmp_path / "b.json").is_file()


def test_mistakes(run, recipe):
    assert "give either a FOLDER of images or of a run, or a recipe" in run("find-lr", code=2).stderr
    done = run("find-lr", "-c", recipe, "--out", "x.png", code=2)
    assert "--out x.png: the picture is an SVG file" in done.stderr
    assert "the folder nowhere does not exist" in run("find-lr", "-c", recipe, "--out", "nowhere/x.svg", code=2).stderr
