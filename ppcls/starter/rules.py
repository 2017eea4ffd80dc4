"""By which rules `ppcls train FOLDER` chooses: one table, which docs/own_photos.md shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

MAP_SIDE = 16  # positions of a ConvMixer's map along each side, whatever the image size
_VIEWS = 60_000  # images that a small data set is trained with, all epochs together
_FEWEST_EPOCHS, _MOST_EPOCHS = 30, 150
_FINE_TUNING_VIEWS = 10_000
# Public weights, the cheapest to fine-tune first.
WEIGHTS = ("ConvMLP_S", "CycleMLP_B1", "gMLP_S16", "ConvMixer_1024_20", "ConvMLP_M", "CycleMLP_B2", "ConvMLP_L")


@dataclass(frozen=True)
class Facts:
    """What the rules look at.

    Attributes:
        images: to train with.
        classes: how many there are.
        short_side: median of the images' shorter sides, in pixels.
        device: "cpu" or "gpu".
        cores: CPU cores.
        is_symmetric: whether mirror images look like the images of their class.
        has_validation: whether the data have a validation part.
        weights: the name of the architecture whose weights training starts from; None for random ones.
        weights_image_size: side of the images that the weights are for; None without weights.
    """

    images: int
    classes: int
    short_side: int
    device: str
    cores: int
    is_symmetric: bool
    has_validation: bool
    weights: Optional[str] = None
    weights_image_size: Optional[int] = None


class Rule(NamedTuple):
    """One line of the table.

    Attributes:
        setting: what it chooses.
        when: the condition, in words.
        choice: what is chosen, in words.
        why: the reason, in words.
        applies: the condition.
        value: what is chosen.
    """

    setting: str
    when: str
    choice: str
    why: str
    applies: Callable[[Facts], bool]
    value: Callable[[Facts], Any]


def _conv_mixer(dim: int, depth: int) -> Dict[str, Any]:
    return {"name": "ConvMixer", "dim": dim, "depth": depth, "kernel_size": 7, "map_side": MAP_SIDE}


def _rounded(epochs: float, fewest: int, most: int) -> int:
    """Return a number of epochs within limits, in tens from 20 on."""
    count = min(most, max(fewest, epochs))
    return round(count / 10) * 10 if count >= 20 else round(count)


# The first rule of a setting that applies counts.
RULES: Tuple[Rule, ...] = (
    Rule(
        *("model", "with weights"),
        *("their architecture", "weights that have seen many photos help most where photos are few"),
        lambda facts: facts.weights is not None,
        lambda facts: None,  # the weights say which
    ),
    Rule(
        *("model", "a GPU"),
        *(
            "ConvMixer, 256 channels, 8 blocks, patches of a 16th of the image",
            "a GPU trains it in minutes; not measured by us",
        ),
        lambda facts: facts.device == "gpu",
        lambda facts: _conv_mixer(256, 8),
    ),
    Rule(
        *("model", "CPU"),
        *("ConvMixer, 128 channels, 8 blocks, patches of a 16th of the image", "learns from few images, in minutes"),
        lambda facts: True,
        lambda facts: _conv_mixer(128, 8),
    ),
    Rule(
        *("image size", "with weights, a GPU"),
        *("that of the weights", "they know objects of that size"),
        lambda facts: facts.weights is not None and facts.device == "gpu",
        lambda facts: facts.weights_image_size,
    ),
    Rule(
        *("image size", "with weights, CPU"),
        *("160, or that of the weights if it is smaller", "half of the work of 224 pixels"),
        lambda facts: facts.weights is not None,
        lambda facts: min(160, facts.weights_image_size or 160),
    ),
    Rule(
        *("image size", "short sides below 48 pixels"),
        *("32", "larger images would show no more detail"),
        lambda facts: facts.short_side < 48,
        lambda facts: 32,
    ),
    Rule(
        *("image size", "a GPU, short sides from 128 pixels"),
        *("128", "details help, and a GPU has the time; not measured by us"),
        lambda facts: facts.device == "gpu" and facts.short_side >= 128,
        lambda facts: 128,
    ),
    Rule(
        *("image size", "else"),
        *("64", "96 pixels took longer and were no better"),
        lambda facts: True,
        lambda facts: 64,
    ),
    Rule(
        *("epochs", "with weights"),
        *("10,000 / images, 5 to 20, after 5 of the classifier alone", "weights need few"),
        lambda facts: facts.weights is not None,
        lambda facts: _rounded(_FINE_TUNING_VIEWS / facts.images, 5, 20),
    ),
    Rule(
        *("epochs", "else"),
        *("60,000 / images, 30 to 150", "few images are seen more often, each time changed at random"),
        lambda facts: True,
        lambda facts: _rounded(_VIEWS / facts.images, _FEWEST_EPOCHS, _MOST_EPOCHS),
    ),
    Rule(
        *("batch size", "fewer than 2,000 images"),
        *("32", "an epoch has enough updates"),
        lambda facts: facts.images < 2_000,
        lambda facts: 32,
    ),
    Rule(
        *("batch size", "else"),
        *("64", "fewer updates with less noise"),
        lambda facts: True,
        lambda facts: 64,
    ),
    Rule(
        *("learning rate", "with weights"),
        *("2e-3 for the classifier, then 4e-4, less in earlier layers", "larger rates would undo what was learned"),
        lambda facts: facts.weights is not None,
        lambda facts: (2e-3, 4e-4),
    ),
    Rule(
        *("learning rate", "else"),
        *("what a range test suggests, within 2e-3 to 1e-2", "it depends on model and data, so it is measured"),
        lambda facts: True,
        lambda facts: (2e-3, 1e-2),
    ),
    Rule(
        *("mirror images", "mirrored thumbnails are as similar to their class"),
        *("half of the training images are mirrored", "like twice as many images"),
        lambda facts: facts.is_symmetric,
        lambda facts: True,
    ),
    Rule(
        *("mirror images", "else, or --no-flip"),
        *("none", "a mirrored digit, letter or right hand is something else"),
        lambda facts: True,
        lambda facts: False,
    ),
    Rule(
        *("crops", "always"),
        *("35 to 100 % of the area", "the model sees objects at many places and sizes"),
        lambda facts: True,
        lambda facts: [0.35, 1.0],
    ),
    Rule(
        *("augmentation", "always"),
        *("brightness, contrast and saturation by up to 20 %", "photos are taken in all kinds of light"),
        lambda facts: True,
        lambda facts: [{"ColorJitter": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2}}],
    ),
    Rule(
        *("mixing", "with weights"),
        *("none", "a short training from weights does not need it"),
        lambda facts: facts.weights is not None,
        lambda facts: None,
    ),
    Rule(
        *("mixing", "else"),
        *("mixup or cutmix in half of the batches", "from scratch, a model would memorize a small data set"),
        lambda facts: True,
        lambda facts: {"mixup_alpha": 0.4, "cutmix_alpha": 1.0, "prob": 0.5},
    ),
    Rule(
        *("validation", "a validation part is there"),
        *("that part", "it was chosen by somebody who knows the data"),
        lambda facts: facts.has_validation,
        lambda facts: None,
    ),
    Rule(
        *("validation", "fewer than 5,000 images"),
        *("20 % of each class", "a smaller part would say little"),
        lambda facts: facts.images < 5_000,
        lambda facts: 0.2,
    ),
    Rule(
        *("validation", "else"),
        *("10 % of each class", "enough images to compare models"),
        lambda facts: True,
        lambda facts: 0.1,
    ),
)


class Choice(NamedTuple):
    """What was chosen for a setting, and why.

    Attributes:
        value: what a recipe needs.
        text: in words.
        why: the reason, in words.
    """

    value: Any
    text: str
    why: str


def choose(facts: Facts) -> Dict[str, Choice]:
    """Return the choice for each setting."""
    chosen: Dict[str, Choice] = {}
    for rule in RULES:
        if rule.setting not in chosen and rule.applies(facts):
            chosen[rule.setting] = Choice(rule.value(facts), rule.choice, rule.why)
    return chosen


def table() -> str:
    """Return the rules as a table in Markdown."""
    rows = [("setting", "where", "choice", "because"), ("---",) * 4]
    previous = ""
    for rule in RULES:
        rows.append((rule.setting if rule.setting != previous else "", rule.when, rule.choice, rule.why))
        previous = rule.setting
    return "\n".join(_row(row) for row in rows) + "\n"


def _row(cells: Any) -> str:
    texts: List[str] = [str(cell) for cell in cells]
    return "| " + " | ".join(texts) + " |"
