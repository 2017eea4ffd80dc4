"""Errors about weights in the words of those who read them: arguments in Python, options, or keys of a recipe."""

from __future__ import annotations

import contextlib
from typing import Iterator, Mapping

from ppcls.errors import ConfigError, WeightsError

# As the messages of ``load_weights`` have them.
CHOOSE = "choose with key=..."
DROP_HEAD = "drop_mismatched_head=True"
HEAD_ADVICE = f"To fine-tune, load with {DROP_HEAD}, which keeps the freshly initialised head"
IMAGE_SIZE = "image_size=[height, width]"
NAME_MODEL = "give model=... and its arguments={...}"

OF_RECIPES = {
    DROP_HEAD: "Global.drop_mismatched_head: true (-o Global.drop_mismatched_head=true)",
    CHOOSE: "choose with Global.weights_key (--weights-key)",
    IMAGE_SIZE: "Global.weights_image_size: [height, width] (--weights-image-size HEIGHTxWIDTH)",
    "in_channels of the model is": "Arch.in_channels is",
    "Build it with in_channels: ": "Set Arch.in_channels: ",
}
# Of weights that are used as they are, without training.
OF_USED_WEIGHTS = {
    HEAD_ADVICE: "Without training, the classifier has to be that of the weights: leave Arch.class_num out "
    "(-o Arch.class_num=null)",
    **OF_RECIPES,
}
OF_CREATE_MODEL = {
    CHOOSE: "choose with weights_key=...",
    IMAGE_SIZE: f"pretrained_{IMAGE_SIZE}",
    "image_size: ": "pretrained_image_size: ",
}
OF_CONVERT = {
    CHOOSE: "choose with --weights-key",
    IMAGE_SIZE: "--weights-image-size HEIGHTxWIDTH",
    NAME_MODEL: "give --model, and its --argument",
    "image_size: ": "--weights-image-size: ",
}


@contextlib.contextmanager
def reworded(words: Mapping[str, str]) -> Iterator[None]:
    """Replace words in the errors that the block raises."""
    try:
        yield
    except (ConfigError, WeightsError) as error:
        text = str(error)
        for ours, theirs in words.items():
            text = text.replace(ours, theirs)
        if text == str(error):
            raise
        raise type(error)(text) from None
