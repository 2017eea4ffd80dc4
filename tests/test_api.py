"""Training from Python, with a model, data sets and callbacks that are Python objects."""

import json

import numpy as np
import paddle
import pytest
import yaml

import ppcls
from ppcls.data.datasets import ItemDataset
from ppcls.errors import CallbackError, ConfigError, DataError
from tests.helpers.supplied import EVAL, SIZE, TRAIN, Named, Net, bare_recipe


@pytest.fixture
def recipe(tmp_path):
    return bare_recipe(tmp_path)


def logged(folder):
    return (folder / "train.log").read_text(encoding="utf-8")


def test_a_recipe_without_data_trains_on_arrays(recipe, tmp_path):
    result = ppcls.train(recipe, train_dataset=TRAIN, eval_dataset=Named(EVAL))
    assert result.run_dir == tmp_path / "run"
    assert result.weights == result.run_dir / "best_model"
    assert [record["epoch"] for record in result.history] == [1, 2]
    assert result.best["top1"] == result.metrics["top1"] == max(record["top1"] for record in result.history)
    assert result.stages == {}
    log = logged(result.run_dir)
    assert "DataLoader.Train: 96 images that were given in Python" in log
    assert "DataLoader.Train.sampler.batch_size is not in the recipe: 32" in log
    assert "Arch.class_num is not in the recipe: 10" in log
    assert "Eval.dataset.transform_ops is not in the recipe: DecodeImage, ResizeImage, CropImage, Normalize" in log
    # The recipe in the folder says the same as one that was written by hand.
    stored = ppcls.load_config(result.run_dir / "config.yaml")
    assert stored.DataLoader.Train.sampler.arguments["batch_size"] == 32
    with pytest.raises(DataError, match="were given in Python"):
        ppcls.evaluate(ppcls.load_config(result.run_dir / "config.yaml", {"Global.pretrained_model": result.weights}))


def test_learning_is_the_same_as_from_files(recipe, digits, tmp_path):
    """Arrays in memory and the same pictures in files are one data set to the training."""
    import cv2

    paths = [digits / line.split()[0] for line in (digits / "train_list.txt").read_text().splitlines()][:40]
    labels = [int(line.split()[1]) for line in (digits / "train_list.txt").read_text().splitlines()][:40]
    arrays = [np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1]) for path in paths]
    losses = []
    for number, images in enumerate((arrays, [str(path) for path in paths], [path.read_bytes() for path in paths])):
        recipe["Global"]["output_dir"] = str(tmp_path / str(number))
        ppcls.train(recipe, train_dataset=list(zip(images, labels)), changes={"Global.print_batch_step": 1})
        lines = (tmp_path / str(number) / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert losses[0] == losses[1] == losses[2]
    assert len(losses[0]) == 4


def test_the_transforms_and_classes_of_a_file_are_kept(recipe, digits):
    normalize = {"NormalizeImage": {"scale": 1 / 255, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "order": ""}}
    train_ops = [{"DecodeImage": None}, {"Pad": {"padding": 2}}, {"RandCropImageV2": {"size": SIZE}}, normalize]
    dataset = {"name": "ImageFolder", "image_root": "nowhere", "transform_ops": [*train_ops, {"ToCHWImage": None}]}
    recipe["DataLoader"] = {"Train": {"dataset": dataset, "sampler": {"batch_size": 24}}}
    recipe["Arch"]["class_num"] = 12
    recipe["Global"]["allow_unused_classes"] = True
    result = ppcls.train(recipe, train_dataset=Named(TRAIN))
    stored = ppcls.load_config(result.run_dir / "config.yaml")
    assert stored.Arch.class_num == 12
    assert stored.DataLoader.Train.sampler.arguments["batch_size"] == 24
    assert [next(iter(op)) for op in stored.DataLoader.Train.dataset.transform_ops][1:3] == ["Pad", "RandCropImageV2"]
    # Nothing is evaluated, and inference normalizes as training did.
    assert result.metrics == {}
    assert result.best == {"epoch": 2}
    assert stored.Infer.transforms[-2]["NormalizeImage"]["mean"] == [0.5, 0.5, 0.5]
    assert len(result.load_predictor(topk=3).predict(TRAIN[0][0])[0]["class_ids"]) == 3


def test_class_names_go_with_the_weights(recipe):
    result = ppcls.train(recipe, train_dataset=Named(TRAIN), eval_dataset=Named(EVAL))
    (answer,) = result.load_predictor(topk=2).predict(TRAIN[0][0])
    assert answer["label_names"] == [Named.class_names[number] for number in answer["class_ids"]]

    class Others(Named):
        class_names = Named.class_names[::-1]

    turned = [(image, 9 - label) for image, label in EVAL]
    recipe["Global"]["output_dir"] += "_turned"
    assert ppcls.train(recipe, train_dataset=Named(TRAIN), eval_dataset=Others(turned)).metrics == result.metrics

    class Unknown(Named):
        class_names = ("zebra", *Named.class_names[1:])

    with pytest.raises(DataError, match="'zebra' is not a class of DataLoader"):
        ppcls.train(recipe, train_dataset=Named(TRAIN), eval_dataset=Unknown(EVAL))


def test_workers_and_balanced_samplers_take_supplied_data(recipe, tmp_path):
    losses = []
    for workers in (0, 2):
        recipe["Global"]["output_dir"] = str(tmp_path / str(workers))
        recipe["DataLoader"] = {"Train": {"loader": {"num_workers": workers}}}
        result = ppcls.train(recipe, train_dataset=TRAIN, eval_dataset=EVAL)
        losses.append([record["loss"] for record in result.history])
    assert losses[0] == losses[1]


def test_a_run_on_supplied_data_is_resumed_exactly(recipe, tmp_path):
    def train(folder, **changes):
        data = {"train_dataset": TRAIN, "eval_dataset": EVAL}
        values = {"Global.output_dir": str(tmp_path / folder), "EMA": {"decay": 0.9}, **changes}
        return ppcls.train(recipe, changes={f"{key}": value for key, value in values.items()}, **data)

    whole = train("whole", **{"Global.epochs": 3})

    class Stop:
        def on_eval(self, run):
            raise RuntimeError("enough")

    with pytest.raises(CallbackError, match=r"Stop\.on_eval: RuntimeError: enough"):
        ppcls.train(
            recipe,
            changes={"Global.output_dir": str(tmp_path / "parts"), "EMA": {"decay": 0.9}, "Global.epochs": 3},
            train_dataset=TRAIN,
            eval_dataset=EVAL,
            callbacks=[Stop()],
        )
    rest = train("parts", **{"Global.epochs": 3, "Global.checkpoints": "auto"})
    assert rest.history == whole.history
    # Other labels are other data.
    assert ItemDataset(TRAIN, "x").digest() == ItemDataset(list(TRAIN), "y").digest()
    changed = [(255 - TRAIN[0][0], TRAIN[0][1]), *TRAIN[1:]]
    assert ItemDataset(TRAIN, "x").digest() != ItemDataset(changed, "x").digest()


def test_early_stopping_and_callbacks(recipe):
    seen = []

    class Count:
        def on_epoch(self, run):
            seen.append(run.epoch_number)

    recipe["Global"].update(epochs=9, early_stopping={"patience": 1}, best_metric="top1")
    recipe["Optimizer"]["lr"] = {"name": "ConstLR", "learning_rate": 1e-9}
    result = ppcls.train(recipe, train_dataset=TRAIN, eval_dataset=EVAL, callbacks=[Count()])
    assert seen == list(range(1, len(result.history) + 1))
    assert len(seen) < 9


def test_a_supplied_model_is_trained_in_place(recipe):
    del recipe["Arch"]
    net = Net()
    before = net.head.weight.numpy()
    result = ppcls.train(recipe, model=net, train_dataset=TRAIN, eval_dataset=EVAL)
    after = net.head.weight.numpy()
    assert not np.array_equal(before, after)
    assert result.model is net
    assert "the model is a Net that was given in Python" in logged(result.run_dir)
    predictor = result.load_predictor()
    assert predictor.model is not net
    assert np.array_equal(net.head.weight.numpy(), after)
    answers = predictor.predict([image for image, _ in EVAL])
    correct = np.mean([answer["class_ids"][0] == label for answer, (_, label) in zip(answers, EVAL)])
    assert correct == pytest.approx(result.metrics["top1"])
    # The code of the model is not stored.
    message = r"given in Python \(tests.helpers.supplied.Net\).*load_predictor\(run, model=...\)"
    with pytest.raises(ConfigError, match=message):
        ppcls.load_predictor(result.run_dir)
    again = ppcls.load_predictor(result.run_dir, model=Net(), device=None)
    assert again.predict(EVAL[0][0]) == [{**answers[0], "file_name": "image 1"}]
    assert ppcls.embed(again, [EVAL[0][0], EVAL[1][0]]).shape == (2, 8)


def test_a_supplied_model_takes_the_place_of_a_files_model(recipe, tmp_path):
    recipe["Arch"]["class_num"] = 10
    model = ppcls.create_model("ConvMixer", class_num=10, dim=8, depth=1, kernel_size=3, patch_size=4)
    result = ppcls.train(recipe, model=model, train_dataset=TRAIN)
    assert "in place of ConvMixer" in logged(result.run_dir)
    # Another class is another run.
    recipe["Global"]["checkpoints"] = "auto"
    with pytest.raises(ConfigError, match=r"Arch.class_name was .*ConvMixer' and is 'tests.helpers.supplied.Net'"):
        ppcls.train(recipe, model=Net(), train_dataset=TRAIN)


def test_stages_with_everything_supplied(recipe, tmp_path):
    del recipe["Arch"]
    recipe["Stages"] = [
        {"name": "first", "override": {"Global.freeze": ["body"], "Global.epochs": 1}},
        {"name": "second", "override": {"Global.epochs": 2}},
    ]
    net = Net()
    result = ppcls.train(recipe, model=net, train_dataset=TRAIN, eval_dataset=EVAL)
    assert list(result.stages) == ["first", "second"]
    first, second = result.stages.values()
    assert result.run_dir == second.run_dir == tmp_path / "run" / "second"
    assert not any(parameter.stop_gradient for parameter in net.parameters())
    weights = [paddle.load(f"{stage.run_dir}/latest.pdparams") for stage in (first, second)]
    assert np.array_equal(net.head.weight.numpy(), weights[1]["head.weight"])
    assert not np.array_equal(weights[0]["body.0.weight"], weights[1]["body.0.weight"])
    # Trained again, the stages are found finished, and a fresh model gets their weights.
    fresh = Net()
    again = ppcls.train(recipe, model=fresh, train_dataset=TRAIN, eval_dataset=EVAL)
    assert again.best == result.best
    assert np.array_equal(fresh.head.weight.numpy(), net.head.weight.numpy())
    # One of them alone.
    alone = ppcls.train(recipe, stage="first", model=Net(), train_dataset=TRAIN, eval_dataset=EVAL)
    assert alone.run_dir == first.run_dir


def test_a_loaded_config_is_as_good_as_a_file(digits, tmp_path):
    from tests.conftest import write_recipe

    path = write_recipe(digits, tmp_path)
    config = ppcls.load_config(path, ["Global.epochs=1"])
    result = ppcls.train(config)
    assert result.run_dir == tmp_path / "out"
    other = ppcls.train(config, changes={"Global.output_dir": str(tmp_path / "other")}, train_dataset=TRAIN)
    stored = ppcls.load_config(other.run_dir / "config.yaml")
    assert stored.Global.epochs == 1
    assert stored.DataLoader.Train.dataset.name == "SuppliedDataset"
    assert stored.DataLoader.Eval.dataset.name == "ImageNetDataset"
    loaded = ppcls.load_predictor(other.run_dir, batch_size=7)
    assert loaded.pipeline.batch_size == 7


def test_runs_recipes_and_dicts_are_evaluated_used_and_exported(trained, digits, tmp_path, monkeypatch):
    """All forms in which a recipe is given mean the same, with and without changes."""
    monkeypatch.chdir(tmp_path)
    run, image = trained / "out", str(digits / "val/000.png")
    weights = {"Global.pretrained_model": str(run / "best_model")}
    values = yaml.safe_load((trained / "recipe.yaml").read_text())
    values["Global"]["pretrained_model"] = weights["Global.pretrained_model"]
    loaded = ppcls.load_run_config(run)
    expected = ppcls.evaluate(loaded)
    assert expected["top1"] > 0.2
    prefix = run / "best_model"
    forms = [(run, None), (str(prefix), ()), (prefix.with_suffix(".pdparams"), ()), (values, ()), (loaded, ())]
    forms += [(trained / "recipe.yaml", weights), (str(trained / "recipe.yaml"), [f"Global.pretrained_model={prefix}"])]
    for form, changes in forms:
        assert ppcls.evaluate(form, changes=changes) == expected
    assert ppcls.evaluate(loaded, changes={"Metric.Eval": [{"TopkAcc": {"topk": 2}}]})["top2"] >= expected["top1"]
    places = {"Infer.infer_imgs": image, "Infer.save_dir": str(tmp_path)}
    answers = ppcls.infer(run, changes=places)
    assert (
        answers
        == ppcls.infer(values, changes=places)
        == ppcls.infer(trained / "recipe.yaml", changes={**places, **weights})
    )
    target = {"Global.save_inference_dir": str(tmp_path / "export")}
    assert ppcls.export(run, changes=target)["folder"] == str(tmp_path / "export")
    assert ppcls.load_predictor(tmp_path / "export").predict(image)[0]["class_ids"] == answers[0]["class_ids"]
    for form in (run, values, trained / "recipe.yaml"):
        assert ppcls.evaluate_export(form, tmp_path / "export")["top1"] == expected["top1"]
    again = ppcls.export(
        values, ppcls.exporting.Options(), changes={"Global.save_inference_dir": str(tmp_path / "again")}
    )
    assert again["folder"] == str(tmp_path / "again")


@pytest.mark.parametrize("function", [ppcls.evaluate, ppcls.infer, ppcls.export, ppcls.evaluate_export])
def test_what_is_no_recipe_is_said(function, trained, tmp_path):
    (tmp_path / "weights.pdparams").touch()
    (tmp_path / "inference.yml").touch()
    export = [tmp_path] if function is ppcls.evaluate_export else []
    for recipe, message in (
        ("nowhere.yaml", "nowhere.yaml: no such recipe"),
        ({"Global": {}}, "Arch: missing"),
        (5, "a recipe is a path, a name or a dict, not int"),
        (None, "a recipe is a path, a name or a dict, not NoneType"),
        (tmp_path, "is an exported model; give a recipe or the folder of the run"),
        (tmp_path / "weights.pdparams", "comes without its recipe"),
    ):
        with pytest.raises(ppcls.PpclsError, match=message):
            function(recipe, *export)
    with pytest.raises(ConfigError, match="the recipe has no Stages"):
        function(ppcls.load_run_config(trained / "out"), *export, stage="second")
