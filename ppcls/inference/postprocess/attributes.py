"""Post-processing of PaddleClas's attribute recipes (PULC): fixed classes, and an answer in words."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ppcls.errors import ConfigError
from ppcls.inference.postprocess.base import (
    DEFAULT_THRESHOLD,
    INJECTED,
    POSTPROCESSES,
    SIGMOID,
    PostProcess,
    require_classes,
)
from ppcls.registry.checks import require_probability


class Attributes(PostProcess):
    """All attributes whose probability is above their threshold, and ``attributes``: the answer in words.

    Args:
        thresholds: one per attribute.
        class_num: number of classes; None skips its check.
        class_names: those of the data; None skips their check.

    Raises:
        ConfigError: a threshold is out of range, or the classes are not these attributes.
    """

    activation = SIGMOID
    names: ClassVar[Sequence[str]]

    def __init__(
        self, thresholds: Sequence[float], class_num: Optional[int], class_names: Optional[Sequence[str]]
    ) -> None:
        if class_num is not None:
            self.check_class_num(class_num)
        if class_names is not None and list(class_names) != list(self.names):
            pairs = zip(class_names, self.names)
            found, expected = next((pair for pair in pairs if pair[0] != pair[1]), (len(class_names), len(self.names)))
            raise ConfigError(
                f"is for the attributes {', '.join(self.names)}, in this order; the data have {found!r} where "
                f"it expects {expected!r}: use MultiLabelThreshOutput"
            )
        self.class_names = list(self.names)
        self.thresholds = np.array(thresholds, np.float32)

    def check_class_num(self, class_num: int) -> None:
        """Make sure that there are as many classes as attributes.

        Raises:
            ConfigError: there are more or fewer.
        """
        require_classes(len(self.names), class_num)

    def __call__(self, scores: np.ndarray) -> Dict[str, List[Any]]:
        """Return {class_ids, scores, label_names, attributes} of probabilities [K], the highest first."""
        scores = scores.astype(np.float32)
        is_above = scores > self.thresholds
        answer = self._answer((i for i in np.argsort(-scores, kind="stable") if is_above[i]), scores)
        return {**answer, "attributes": self.in_words(scores, is_above)}

    def in_words(self, scores: np.ndarray, is_above: np.ndarray) -> List[str]:
        """Return the answer in words.

        Args:
            scores: probabilities [K].
            is_above: whether they are above their thresholds, [K].
        """
        raise NotImplementedError


def _best(names: Sequence[str], scores: np.ndarray) -> str:
    return names[int(np.argmax(scores))]


@POSTPROCESSES.register(injected=INJECTED)
class PersonAttribute(Attributes):
    """The 26 attributes of PULC's person_attribute, in its order.

    Args:
        threshold: of all attributes but two.
        glasses_threshold: of glasses.
        hold_threshold: of objects held in front.
        class_num: number of classes; None skips its check.
        class_names: those of the data; None skips their check.

    Raises:
        ConfigError: a threshold is out of range, or the classes are not these attributes.
    """

    # fmt: off
    names = (
        "Hat", "Glasses", "ShortSleeve", "LongSleeve", "UpperStride", "UpperLogo", "UpperPlaid", "UpperSplice",
        "LowerStripe", "LowerPattern", "LongCoat", "Trousers", "Shorts", "Skirt&Dress", "Boots", "HandBag",
        "ShoulderBag", "Backpack", "HoldObjectsInFront", "AgeLess18", "Age18-60", "AgeOver60", "Female", "Front",
        "Side", "Back",
    )
    # fmt: on

    def __init__(
        self,
        threshold: float = 0.5,
        glasses_threshold: float = 0.3,
        hold_threshold: float = 0.6,
        *,
        class_num: Optional[int] = None,
        class_names: Optional[Sequence[str]] = None,
    ) -> None:
        thresholds = [require_probability("threshold", threshold)] * len(self.names)
        thresholds[1] = require_probability("glasses_threshold", glasses_threshold)
        thresholds[18] = require_probability("hold_threshold", hold_threshold)
        super().__init__(thresholds, class_num, class_names)

    def in_words(self, scores: np.ndarray, is_above: np.ndarray) -> List[str]:
        """Return gender, age, direction, glasses, hat, what is held, bag, upper and lower clothes and shoes."""
        bag = 15 + int(np.argmax(scores[15:18]))
        sleeve = "LongSleeve" if scores[3] > scores[2] else "ShortSleeve"
        lower = self._names_above(is_above, range(8, 14)) or [_best(self.names[8:14], scores[8:14])]
        return [
            "Female" if is_above[22] else "Male",
            _best(self.names[19:22], scores[19:22]),
            _best(self.names[23:], scores[23:]),
            f"Glasses: {bool(is_above[1])}",
            f"Hat: {bool(is_above[0])}",
            f"HoldObjectsInFront: {bool(is_above[18])}",
            self.names[bag] if is_above[bag] else "No bag",
            " ".join(["Upper:", sleeve, *self._names_above(is_above, range(4, 8))]),
            " ".join(["Lower:", *lower]),
            "Boots" if is_above[14] else "No boots",
        ]

    def _names_above(self, is_above: np.ndarray, indices: Sequence[int]) -> List[str]:
        return [self.names[index] for index in indices if is_above[index]]


_COLORS = ("yellow", "orange", "green", "gray", "red", "blue", "white", "golden", "brown", "black")
_TYPES = ("sedan", "suv", "van", "hatchback", "mpv", "pickup", "bus", "truck", "estate")


@POSTPROCESSES.register(injected=INJECTED)
class VehicleAttribute(Attributes):
    """The 10 colours and 9 types of PULC's vehicle_attribute, in its order.

    Args:
        color_threshold: of the colours.
        type_threshold: of the types.
        class_num: number of classes; None skips its check.
        class_names: those of the data; None skips their check.

    Raises:
        ConfigError: a threshold is out of range, or the classes are not these attributes.
    """

    names = (*_COLORS, *_TYPES)

    def __init__(
        self,
        color_threshold: float = DEFAULT_THRESHOLD,
        type_threshold: float = DEFAULT_THRESHOLD,
        *,
        class_num: Optional[int] = None,
        class_names: Optional[Sequence[str]] = None,
    ) -> None:
        colors = [require_probability("color_threshold", color_threshold)] * len(_COLORS)
        types = [require_probability("type_threshold", type_threshold)] * len(_TYPES)
        super().__init__([*colors, *types], class_num, class_names)

    def in_words(self, scores: np.ndarray, is_above: np.ndarray) -> List[str]:
        """Return the likeliest colour and type with their probabilities, "unknown" below their thresholds."""
        count = len(_COLORS)
        words = []
        for kind, names, values in (("Color", _COLORS, scores[:count]), ("Type", _TYPES, scores[count:])):
            best = int(np.argmax(values))
            is_known = values[best] >= self.thresholds[0 if kind == "Color" else count]
            words.append(f"{kind}: ({names[best]}, prob: {values[best]:.5f})" if is_known else f"{kind} unknown")
        return words


@POSTPROCESSES.register(injected=INJECTED)
class TableAttribute(Attributes):
    """The 6 attributes of PULC's table_attribute, in its order.

    Args:
        source_threshold: above it a table is scanned, else photographed.
        number_threshold: above it a table has little text, else much.
        color_threshold: above it a table is black and white, else coloured.
        clarity_threshold: above it a table is clear, else blurry.
        obstruction_threshold: above it nothing hides a part of the table. (PaddleClas uses ``number_threshold`` for
            this and for the angle.)
        angle_threshold: above it a table is horizontal, else tilted.
        class_num: number of classes; None skips its check.
        class_names: those of the data; None skips their check.

    Raises:
        ConfigError: a threshold is out of range, or the classes are not these attributes.
    """

    names = ("Scanned", "Little", "Black-and-White", "Clear", "Without-Obstacles", "Horizontal")
    _OPPOSITES: ClassVar[Tuple[str, ...]] = ("Photo", "Numerous", "Multicolor", "Blurry", "With-Obstacles", "Tilted")

    def __init__(
        self,
        source_threshold: float = DEFAULT_THRESHOLD,
        number_threshold: float = DEFAULT_THRESHOLD,
        color_threshold: float = DEFAULT_THRESHOLD,
        clarity_threshold: float = DEFAULT_THRESHOLD,
        obstruction_threshold: float = DEFAULT_THRESHOLD,
        angle_threshold: float = DEFAULT_THRESHOLD,
        *,
        class_num: Optional[int] = None,
        class_names: Optional[Sequence[str]] = None,
    ) -> None:
        given = {
            "source_threshold": source_threshold,
            "number_threshold": number_threshold,
            "color_threshold": color_threshold,
            "clarity_threshold": clarity_threshold,
            "obstruction_threshold": obstruction_threshold,
            "angle_threshold": angle_threshold,
        }
        thresholds = [require_probability(name, value) for name, value in given.items()]
        super().__init__(thresholds, class_num, class_names)

    def in_words(self, scores: np.ndarray, is_above: np.ndarray) -> List[str]:
        """Return for each attribute its name, or its opposite."""
        return [pair[0] if above else pair[1] for *pair, above in zip(self.names, self._OPPOSITES, is_above)]
