"""Recipes with several models: those of PaddleClas become ours, and mistakes are found when they are loaded."""

import re

import pytest
import yaml

import ppcls
from ppcls.config.show import to_yaml
from ppcls.errors import ConfigError
from tests.helpers.distillation import STUDENT, TEACHER, write_distillation, write_mutual

OURS = {
    "teacher": None,
    "pretrained": None,
    "kind": "soft",
    "temperature": None,
    "alpha": 0.5,
    "student": "Student",
}


def test_what_a_recipe_of_paddleclas_means(recipe):
    path = write_distillation(recipe, use_sync_bn=True)
    config = ppcls.load_config(path)
    assert config.Arch.name == "ConvMixer"
    assert config.Arch.use_sync_bn
    assert (config.Arch.arguments["dim"], config.Arch.arguments["depth"]) == (8, 1)
    assert config.student == "Student"
    options = {"weights_key": None, "weights_image_size": None}
    teacher = {**TEACHER, "pretrained": "teacher/best_model", "frozen": True, **options}
    assert config.Distillation.model_dump() == {**OURS, "models": {"Teacher": teacher}}
    # Its text is a recipe that means the same, and so is what was loaded.
    again = path.with_name("again.yaml")
    again.write_text(to_yaml(config))
    assert ppcls.load_config(again).plain() == config.plain()
    assert ppcls.load_config(config, ["Global.epochs=7"]).Distillation == config.Distillation
    # Written as one of ours, it is the same.
    values = yaml.safe_load(path.read_text())
    values["Arch"] = {**STUDENT, "use_sync_bn": True}
    values["Distillation"] = {"models": {"Teacher": {**TEACHER, "pretrained": "teacher/best_model"}}}
    again.write_text(yaml.safe_dump(values))
    assert ppcls.load_config(again).plain() == config.plain()


def test_defaults_and_lists(recipe):
    """Nothing is frozen unless it is said; what has no class_num has that of Arch; null lists say nothing."""
    models = [{"A": {**STUDENT, "class_num": 10}}, {"B": {key: STUDENT[key] for key in STUDENT if key != "class_num"}}]
    lists = {"freeze_params_list": None, "pretrained_list": ["weights", None]}
    path = write_distillation(recipe, models, infer_model_name="B", **lists)
    losses = "Loss.Train=[{DistillationDMLLoss: {model_name_pairs: [[A, B]]}}]"
    config = ppcls.load_config(path, [losses, "Metric=null", "Arch.infer_add_softmax=true", "Arch.use_ssld=false"])
    assert config.student == "B"
    assert config.Arch.class_num == 10
    model = config.Distillation.models["A"]
    assert (model.frozen, model.pretrained, model.arguments["class_num"]) == (False, "weights", 10)


def test_overrides_reach_into_the_models(recipe):
    path = write_distillation(recipe)
    changes = ["Arch.models.1.Student.dim=12", "Arch.models.0.Teacher.pretrained=elsewhere"]
    config = ppcls.load_config(path, changes)
    assert config.Arch.arguments["dim"] == 12
    assert config.Distillation.models["Teacher"].pretrained == "elsewhere"
    assert config.where("Arch", "dim") == "-o Arch.models.1.Student.dim=12"
    assert config.where("Distillation", "models", "Teacher", "frozen").startswith(str(path))


def test_postprocessing_of_distillation(recipe):
    path = write_distillation(recipe)
    given = "Infer.PostProcess={name: DistillationPostProcess, %s}"
    section = ppcls.load_config(
        path, [given % "func: Topk, topk: 2, model_name: Student, key: logits"]
    ).Infer.PostProcess
    assert (section.name, section.arguments["topk"]) == ("Topk", 2)
    assert ppcls.load_config(path, [given % "topk: 3"]).Infer.PostProcess.arguments["topk"] == 3
    assert "PostProcess.model_name: must be Student" in mistakes(path, given % "model_name: Teacher")
    assert "PostProcess.key: must be logits" in mistakes(path, given % "key: hidden")
    assert "PostProcess.name: unknown post-processing 'Topkk'" in mistakes(path, given % "func: Topkk")


def mistakes(path, *changes):
    with pytest.raises(ConfigError) as error:
        ppcls.load_config(path, list(changes))
    return str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("Arch.models=[]", "Arch.models: must be a list of at least two models"),
        (f"Arch.models=[{{Student: {STUDENT}}}]", "Arch.models: must be a list of at least two models"),
        ("Arch.models.0=Teacher", "Arch.models.0: each entry must be a map with one key, `Name: {name: ARCHITECTURE}`"),
        ("Arch.models.0.Teacher={dim: 8}", "Arch.models.0.Teacher: needs a name, as in Arch"),
        (f"Arch.models.0={{Student: {STUDENT}}}", "Arch.models.1.Student: there is another model of this name"),
        (
            f"Arch.models.0={{the teacher: {STUDENT}}}",
            "then letters, digits and '_'; not 'the teacher'",
        ),
        ("Arch.models.0.Teacher.name=ResNet50", "Distillation.models.Teacher.name: unknown architecture 'ResNet50'"),
        ("Arch.models.0.Teacher.dims=3", "Distillation.models.Teacher.dims: unknown argument"),
        ("Arch.models.0.Teacher.pretrained=3", "Distillation.models.Teacher.pretrained: must be true or false or"),
        ("Arch.models.1.Student.dims=3", "Arch.dims: unknown argument"),
        (
            "Arch.models.0.Teacher.class_num=12",
            "Distillation.models.Teacher.class_num: 12, and Student (Arch) has 10",
        ),
        (
            "Arch.models.1.Student.class_num=12",
            "Arch.models.1.Student.class_num: 12, and Arch.class_num is 10",
        ),
        ("Arch.models.0.Teacher.return_patterns=[blocks]", "must be null, not a list: distillation here compares"),
        ("Arch.models.0.Teacher.name=AttentionModel", "'AttentionModel' is not available: distillation here"),
        ("Arch.models.0.Teacher.name=RecModel", "'RecModel' is not available: it belongs to retrieval"),
        ("Arch.freeze_params_list=[true]", "Arch.freeze_params_list: must be a list of 2, one for each of Arch.models"),
        ("Arch.freeze_params_list=[1, false]", "Arch.freeze_params_list.0: must be true or false, not 1"),
        (
            "Arch.freeze_params_list=[false, true]",
            "Arch.infer_model_name: Student is frozen, and would be",
        ),
        ("Arch.pretrained_list=[a, b, c]", "Arch.pretrained_list: must be a list of 2, one for each of Arch.models"),
        ("Arch.pretrained_list=[other, null]", "Arch.pretrained_list.0: the model itself has pretrained: teacher/best"),
        ("Arch.infer_model_name=null", "Arch.infer_model_name: must be one name, not null; it says which model is"),
        (
            "Arch.infer_model_name=[Student, Teacher]",
            "Arch.infer_model_name: must be one name, not a list",
        ),
        ("Arch.infer_model_name=Studnet", "there is no model 'Studnet'; did you mean 'Student'?"),
        ("Arch.modles=3", "Arch.modles: unknown key of DistillationModel; did you mean 'models'?"),
        ("Arch.is_rec=true", "Arch.is_rec: must be false, not True: it belongs to retr"),
        ("Arch.infer_output_key=features", "Arch.infer_output_key: must be null, not"),
        ("Arch.infer_add_softmax=false", "Arch.infer_add_softmax: must be true"),
        ("Arch.use_ssld=true", "Arch.use_ssld: must be false, not True: an argument of"),
        ("Distillation={teacher: x.yaml}", "Distillation: conflicts with Arch.name: DistillationModel; keep one"),
        ("Loss.Train.0.DistillationCELoss.model_name_pairs=[[Student, Techer]]", "there is no model 'Techer'; did you"),
        (
            "Loss.Train.0.DistillationCELoss.model_name_pairs=[[Teacher, Student]]",
            "nothing learns from [Teacher,",
        ),
        ("Loss.Train.0.DistillationCELoss.key=hidden_layer", "key: 'hidden_layer' names feature maps"),
        (
            "Loss.Train.0={DistillationGTCELoss: {model_names: [Student]}}",
            "no loss of Loss.Train has Teacher",
        ),
        (
            "Loss.Train.0={DistillationGTCELoss: {model_names: [Teacher]}}",
            "nothing learns from [Teacher]: Teac",
        ),
        (
            "Loss.Eval.0={DistillationGTCELoss: {model_names: [Teacher]}}",
            "only the model that is exported is",
        ),
        ("Metric.Eval.0.DistillationTopkAcc.model_key=Teacher", "model_key: 'Teacher': metrics are those of Student"),
        ("Metric.Eval.0.DistillationTopkAcc.feature_key=features", "feature_key: accuracy is that of the logits"),
    ],
)
def test_mistakes(recipe, change, message):
    path = write_distillation(recipe)
    text = mistakes(path, change)
    assert message in text
    assert f"{path}:" in text or "-o " in text


def test_mistakes_of_models_that_are_trained(recipe):
    path = write_mutual(recipe)
    one_way = "Loss.Train=[{DistillationCELoss: {model_name_pairs: [[Student, Teacher]]}}]"
    assert "Distillation.models.Teacher: nothing trains Teacher" in mistakes(path, one_way)
    other_way = "Loss.Train=[{DistillationCELoss: {model_name_pairs: [[Teacher, Student]]}}]"
    assert "Loss.Train: nothing trains Student" in mistakes(path, other_way)
    both = "Loss.Train=[{DistillationCELoss: {model_name_pairs: [[Student, Teacher], [Teacher, Student]]}}]"
    ppcls.load_config(path, [both])
    assert "Distillation.models.Teacher: nothing trains Teacher" in mistakes(path, "Loss.Train=[{CELoss: {}}]")


def test_mistakes_in_our_words(recipe):
    teacher = "{name: ConvMixer, dim: 4, depth: 1, pretrained: x}"
    for section, message in (
        (f"{{models: {{Teacher: {teacher}}}, alpha: 0.1}}", "alpha is for a teacher; with models, losses"),
        (f"{{models: {{Student: {teacher}}}}}", "models: Student is the model of Arch"),
        (f"{{models: {{Teacher: {teacher}}}, teacher: x.yaml}}", "Distillation: give either teacher or models"),
        ("{}", "Distillation: needs a teacher, or models"),
        ("{models: {}}", "Distillation.models: "),
        ("{models: 3}", "Distillation.models: must be a mapping, not 3"),
        ("{models: {Teacher: 3}}", "Distillation.models.Teacher: must be a mapping, not 3"),
        ("{models: {Teacher: {dim: 4}}}", "Distillation.models.Teacher.name: missing"),
        ("{teacher: x.yaml, student: Net}", "student is for models"),
        (f"{{models: {{Teacher: {teacher}}}}}", "Distillation.models.Teacher: no loss of Loss.Train has Teacher"),
    ):
        assert message in mistakes(recipe, f"Distillation={section}"), section
    losses = "Loss.Train=[{DistillationCELoss: {model_name_pairs: [[Student, Teacher]]}}]"
    assert "there is no model 'Teacher' (allowed: Student); others are given by Arch.name" in mistakes(recipe, losses)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ({}, "weights_key: ema", "weights_key: describes the file of pretrained, which must then be its path or URL"),
        ({"pretrained": True}, "weights_key: ema", "weights_key: describes the file of pretrained"),
        (
            {"pretrained": "x"},
            "weights_image_size: [16, 24]",
            "weights_image_size: the weights of ConvMixer fit images",
        ),
        ({"pretrained": "x"}, "weights_image_size: [16]", "weights_image_size"),
        ({"pretrained": "x"}, "weights_keys: ema", "unknown argument; did you mean 'weights_key'?"),
    ],
)
def test_what_is_said_of_the_weights_of_a_model_is_checked(recipe, model, options, message):
    models = [{"Teacher": {**TEACHER, **model, **yaml.safe_load(options)}}, {"Student": STUDENT}]
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        ppcls.load_config(write_distillation(recipe, models))
    assert "Distillation.models.Teacher" in str(caught.value)
    if model.get("pretrained") != "x" or options.endswith("[16]"):
        return  # of a teacher, these are other messages
    section = {"teacher": {**TEACHER, **model, **yaml.safe_load(options)}}
    values = yaml.safe_load(recipe.read_text())
    recipe.write_text(yaml.safe_dump({**values, "Distillation": section}))
    with pytest.raises(ConfigError, match="Distillation.teacher.*" + re.escape(message)):
        ppcls.load_config(recipe)
