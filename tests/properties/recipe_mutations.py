"""What may happen after training to the recipe's transforms and to the checkpoint; see ``mutations``."""

from tests.properties.mutations import ERROR, NAMED, SAME, Mutation

RECIPE_MUTATIONS = {}


def _mutation(layouts=(*NAMED, "list"), evaluation=None):
    def register(apply):
        RECIPE_MUTATIONS[apply.__name__] = Mutation(apply, layouts, evaluation, of_training=False)
        return apply

    return register


@_mutation()
def channel_order(world, files):
    files.transforms["DecodeImage"] = {"to_rgb": False}
    return ERROR


@_mutation()
def decoding_backend(world, files):
    files.transforms["DecodeImage"] = {"backend": "pil"}
    return ERROR


@_mutation()
def mean(world, files):
    files.transforms["NormalizeImage"] = {"mean": [0.1 + world.pick % 3 / 10, 0.0, 0.0]}
    return ERROR


@_mutation(("folders",), "folders")
def weights_without_a_record(world, files):
    """Copied without what is beside them, they are of the same classes in the same order."""
    (files.root.parent / "out" / "best_model.pdstates").unlink()
    return SAME
