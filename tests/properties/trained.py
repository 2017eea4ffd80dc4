"""Training on a world, and what its checkpoint and its export answer."""

import unicodedata
from collections import Counter

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
    """Assert that both evaluations and both predictors agree: as many pictures of each class have each answer.

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
        answered = _answers(predictors, world, evaluation)
        share = sum(count for (truth, answer), count in answered.items() if truth == answer) / sum(answered.values())
        assert abs(result.best["top1"] - share) < 1e-6
        for function in _evaluations(path, changes, folder, world):
            assert function() == answered, "before"

        expected = EVERY_MUTATION[mutation].apply(world, evaluation)
        if expected is None:
            return None, share
        write_recipe(path, world, train, evaluation, arch=arch)
        found = [_outcome(function) for function in _evaluations(path, changes, folder, world)]
        outcome = ERROR if ERROR in found else SAME
        assert found == [ERROR, ERROR] or ERROR not in found, f"{mutation}: {found}: only one refuses"
        assert expected in (EITHER, outcome), f"{mutation}: {outcome} instead of {expected}"
        if outcome == SAME:
            answered = _answers(predictors, world, evaluation)
            assert found == [answered, answered], mutation
        return outcome, share


def check_swapped_size(world):
    """Assert that weights used at another size answer alike from the checkpoint and from an export of that size.

    The export at the first size is for images of its own size, and is not evaluated by a recipe for another one.
    """
    with outcomes.quiet_folder() as folder:
        path, train, evaluation, _ = outcomes.write(folder, world, arch="gMLP")
        ppcls.train(str(path))
        changes = [_WEIGHTS.format(folder)]
        ppcls.export(ppcls.load_config(path, changes))
        ppcls.evaluate_export(ppcls.load_config(path), folder / "export")
        swapped = World(world.names, world.train, world.evaluation, world.size[::-1], world.pick)
        write_recipe(path, swapped, train, evaluation, arch="gMLP")
        of_checkpoint, of_export = _evaluations(path, changes, folder, world)
        assert _outcome(of_export) == ERROR
        ppcls.export(ppcls.load_config(path, changes))
        assert of_checkpoint() == of_export()
        return SAME


def _evaluations(path, changes, folder, world):
    """Return functions that evaluate the checkpoint and the export, and count pictures by class and answer."""
    return (
        lambda: _counts(ppcls.evaluate(ppcls.load_config(path, changes)), world),
        lambda: _counts(ppcls.evaluate_export(ppcls.load_config(path), folder / "export"), world),
    )


def _outcome(function):
    """Return a function's value, "error" where it refuses."""
    try:
        return function()
    except PpclsError:
        return ERROR


def _counts(result, world):
    """Return the number of pictures by (their class, the answer)."""
    details = result["details"]["ConfusionMatrix"]
    names = [_name(index, name, world) for index, name in enumerate(details["classes"])]
    return Counter(
        {
            (truth, answer): count
            for truth, row in zip(names, details["matrix"])
            for answer, count in zip(names, row)
            if count
        }
    )


def _answers(predictors, world, files):
    """Return the number of pictures by (their class, the answer); both predictors give the same answers."""
    paths = [str(files.root / name) for name in files.entries]
    first, second = ([_answer(item, world) for item in predictor.predict(paths)] for predictor in predictors)
    assert first == second, "the checkpoint and the export answer differently"
    return Counter(zip((outcomes.name_of(world, files, colour) for colour in files.entries.values()), first))


def _answer(item, world):
    """Return the class of an answer."""
    name = (item["label_names"] or [None])[0]
    answer = _name(item["class_ids"][0], name, world)
    if world.train.layout == "list" and world.train.relabel:
        assert name == answer, "answers have the labels of the list"
    return answer


def _name(label, name, world):
    """Return the name of a class or, of data without names, the label that training gave its number."""
    if world.train.layout != "list":
        return unicodedata.normalize("NFC", name)
    return str(sorted(world.train.labels)[label] if world.train.relabel else label)
