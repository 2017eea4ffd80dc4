"""Training on a world, and what its checkpoint and its export answer."""

import numpy as np

import ppcls
from ppcls.errors import PpclsError
from tests.properties import outcomes
from tests.properties.mutations import EITHER, ERROR, MUTATIONS, SAME
from tests.properties.recipe_mutations import RECIPE_MUTATIONS
from tests.properties.worlds import World, write_recipe

# What is done to the evaluation data after training; files that cannot be read are the matter of worlds of data.
AFTER_TRAINING = (
    "nothing",
    "renamed_class",
    "case_of_a_class",
    "decomposed_letters",
    "missing_class",
    "added_class",
    "names_in_another_order",
    "relabelled",
    "labels_from_one",
    "another_suffix",
    "hidden_files",
    "other_files",
    "reordered_lines",
    "zero_bytes",
    *RECIPE_MUTATIONS,
)
EVERY_MUTATION = {**MUTATIONS, **RECIPE_MUTATIONS}
_WEIGHTS = "Global.pretrained_model={}/out/best_model"


def check_world_with_training(world, mutation="nothing", arch="ConvMixer"):
    """Assert that training, both evaluations and both predictors agree on the class name of every picture.

    Then the evaluation data change, and both evaluations must still agree with the names of the predictors, or refuse.

    Returns:
        (what came of the mutation, accuracy before it).
    """
    with outcomes.quiet_folder() as folder:
        path, train, evaluation, _ = outcomes.write(folder, world, arch=arch)
        result = ppcls.train(str(path))
        changes = [_WEIGHTS.format(folder)]
        ppcls.export(ppcls.load_config(path, changes))
        predictors = [ppcls.load_predictor(folder / "out"), ppcls.Predictor(folder / "export")]
        named = world.train.layout != "list"
        share = _share_of_right_answers(predictors, world, evaluation, named)
        top1s = _evaluate(path, changes, folder)
        _assert_equal("before", [share, result.best["top1"], *top1s])

        expected = EVERY_MUTATION[mutation].apply(world, evaluation)
        if expected is None:
            return None, share
        write_recipe(path, world, train, evaluation, arch=arch)
        answers = [_outcome(function) for function in _evaluations(path, changes, folder)]
        outcome = ERROR if ERROR in answers else SAME
        assert answers == [ERROR, ERROR] or ERROR not in answers, f"{mutation}: {answers}: only one refuses"
        assert expected in (EITHER, outcome), f"{mutation}: {outcome} instead of {expected}"
        if outcome == SAME:
            share = _share_of_right_answers(predictors, world, evaluation, named)
            _assert_equal(mutation, [share, *answers])
        return outcome, share


def check_swapped_size(world):
    """Assert that weights used at another size answer alike from the checkpoint and from an export of that size.

    The export at the first size evaluates images of its own size, whatever the recipe says.
    """
    with outcomes.quiet_folder() as folder:
        path, train, evaluation, _ = outcomes.write(folder, world, arch="gMLP")
        ppcls.train(str(path))
        changes = [_WEIGHTS.format(folder)]
        ppcls.export(ppcls.load_config(path, changes))
        before = ppcls.evaluate_export(ppcls.load_config(path), folder / "export")["top1"]
        swapped = World(world.names, world.train, world.evaluation, world.size[::-1], world.pick)
        write_recipe(path, swapped, train, evaluation, arch="gMLP")
        assert _outcome(lambda: _export_top1(path, folder)) in (before, ERROR)
        ppcls.export(ppcls.load_config(path, changes))
        _assert_equal("swapped", _evaluate(path, changes, folder))
        return SAME


def _evaluations(path, changes, folder):
    return (
        lambda: ppcls.evaluate(ppcls.load_config(path, changes))["top1"],
        lambda: _export_top1(path, folder),
    )


def _evaluate(path, changes, folder):
    return [function() for function in _evaluations(path, changes, folder)]


def _export_top1(path, folder):
    return ppcls.evaluate_export(ppcls.load_config(path), folder / "export")["top1"]


def _outcome(function):
    """Return a function's value, "error" where it refuses."""
    try:
        return function()
    except PpclsError:
        return ERROR


def _share_of_right_answers(predictors, world, files, named):
    """Return the share of pictures that are answered with their own class; both predictors give the same names."""
    paths = [str(files.root / name) for name in files.entries]
    answers = [[_answer(item, world, named) for item in predictor.predict(paths)] for predictor in predictors]
    assert answers[0] == answers[1], "the checkpoint and the export answer differently"
    truth = [outcomes.name_of(world, files, colour) for colour in files.entries.values()]
    return float(np.mean([answer == name for answer, name in zip(answers[0], truth)]))


def _answer(item, world, named):
    """Return the class of an answer: its name, or the label that training gave its number."""
    if named:
        return item["label_names"][0]
    label = item["class_ids"][0]
    return str(sorted(world.train.labels)[label] if world.train.relabel else label)


def _assert_equal(when, values):
    assert np.ptp(values) < 1e-6, f"{when}: {values}"
