"""How sure an accuracy is, and a difference between two."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Tuple

_Z = 1.959964  # of a 95 % interval


def wilson_interval(correct: int, total: int) -> Tuple[float, float]:
    """Return the 95 % interval of a share, from 0 to 1; (0, 1) for no images.

    Wilson's score interval (https://doi.org/10.1080/01621459.1927.10502953): it is right for few images and for shares
    near 0 and 1, too.
    """
    if not total:
        return 0.0, 1.0
    share, z2 = correct / total, _Z * _Z
    center = share + z2 / (2 * total)
    half = _Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    scale = 1 + z2 / total
    return max(0.0, (center - half) / scale), min(1.0, (center + half) / scale)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the p-value of McNemar's exact test, two-sided: 1 where the two are equal.

    If two models are equally good, each image that only one of them answers rightly is as likely to be of the first as
    of the second. The p-value is the probability of a difference at least as large as this one
    (https://doi.org/10.1007/BF02295996; exact form: binomial with p = 1/2).

    Args:
        only_first: images that only the first model answers rightly.
        only_second: images that only the second one does.
    """
    total, fewer = only_first + only_second, min(only_first, only_second)
    term, tail = 1, 0  # whole numbers: exact for any count
    for index in range(fewer + 1):
        tail += term
        term = term * (total - index) // (index + 1)
    return float(min(Fraction(1), Fraction(2 * tail, 2**total)))
