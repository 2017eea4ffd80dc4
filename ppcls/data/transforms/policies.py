"""Learned augmentation policies. A policy has sub-policies of operations (name, probability, level from 0 to 10)."""

from __future__ import annotations

from typing import Dict, Tuple

Operation = Tuple[str, float, int]
SubPolicy = Tuple[Operation, ...]
PolicyTable = Tuple[SubPolicy, ...]


def _parse(text: str) -> PolicyTable:
    """Parse a policy with one sub-policy per line: name, probability and level of each operation."""
    policy = []
    for line in text.split("\n"):
        words = line.split()
        if words:
            policy.append(tuple((words[i], float(words[i + 1]), int(words[i + 2])) for i in range(0, len(words), 3)))
    return tuple(policy)


# AutoAugment, https://arxiv.org/abs/1805.09501, appendix, table 9.
IMAGENET = _parse("""
    Posterize 0.4 8     Rotate 0.6 9
    Solarize 0.6 5      AutoContrast 0.6 5
    Equalize 0.8 8      Equalize 0.6 3
    Posterize 0.6 7     Posterize 0.6 6
    Equalize 0.4 7      Solarize 0.2 4
    Equalize 0.4 4      Rotate 0.8 8
    Solarize 0.6 3      Equalize 0.6 7
    Posterize 0.8 5     Equalize 1.0 2
    Rotate 0.2 3        Solarize 0.6 8
    Equalize 0.6 8      Posterize 0.4 6
    Rotate 0.8 8        Color 0.4 0
    Rotate 0.4 9        Equalize 0.6 2
    Equalize 0.0 7      Equalize 0.8 8
    Invert 0.6 4        Equalize 1.0 8
    Color 0.6 4         Contrast 1.0 8
    Rotate 0.8 8        Color 1.0 2
    Color 0.8 8         Solarize 0.8 7
    Sharpness 0.4 7     Invert 0.6 8
    ShearX 0.6 5        Equalize 1.0 9
    Color 0.4 0         Equalize 0.6 3
    Equalize 0.4 7      Solarize 0.2 4
    Solarize 0.6 5      AutoContrast 0.6 5
    Invert 0.6 4        Equalize 1.0 8
    Color 0.6 4         Contrast 1.0 8
    Equalize 0.8 8      Equalize 0.6 3
""")

# The same paper, table 7.
CIFAR10 = _parse("""
    Invert 0.1 7        Contrast 0.2 6
    Rotate 0.7 2        TranslateX 0.3 9
    Sharpness 0.8 1     Sharpness 0.9 3
    ShearY 0.5 8        TranslateY 0.7 9
    AutoContrast 0.5 8  Equalize 0.9 2
    ShearY 0.2 7        Posterize 0.3 7
    Color 0.4 3         Brightness 0.6 7
    Sharpness 0.3 9     Brightness 0.7 9
    Equalize 0.6 5      Equalize 0.5 1
    Contrast 0.6 7      Sharpness 0.6 5
    Color 0.7 7         TranslateX 0.5 8
    Equalize 0.3 7      AutoContrast 0.4 8
    TranslateY 0.4 3    Sharpness 0.2 6
    Brightness 0.9 6    Color 0.2 8
    Solarize 0.5 2      Invert 0.0 3
    Equalize 0.2 0      AutoContrast 0.6 0
    Equalize 0.2 8      Equalize 0.6 4
    Color 0.9 9         Equalize 0.6 6
    AutoContrast 0.8 4  Solarize 0.2 8
    Brightness 0.1 3    Color 0.7 0
    Solarize 0.4 5      AutoContrast 0.9 3
    TranslateY 0.9 9    TranslateY 0.7 9
    AutoContrast 0.9 2  Solarize 0.8 3
    Equalize 0.8 8      Invert 0.1 3
    TranslateY 0.7 9    AutoContrast 0.9 1
""")

# The same paper, for SVHN; 0 where the operation has no level.
SVHN = _parse("""
    ShearX 0.9 4        Invert 0.2 0
    ShearY 0.9 8        Invert 0.7 0
    Equalize 0.6 0      Solarize 0.6 6
    Invert 0.9 0        Equalize 0.6 0
    Equalize 0.6 0      Rotate 0.9 3
    ShearX 0.9 4        AutoContrast 0.8 0
    ShearY 0.9 8        Invert 0.4 0
    ShearY 0.9 5        Solarize 0.2 6
    Invert 0.9 0        AutoContrast 0.8 0
    Equalize 0.6 0      Rotate 0.9 3
    ShearX 0.9 4        Solarize 0.3 3
    ShearY 0.8 8        Invert 0.7 0
    Equalize 0.9 0      TranslateY 0.6 6
    Invert 0.9 0        Equalize 0.6 0
    Contrast 0.3 3      Rotate 0.8 4
    Invert 0.8 0        TranslateY 0.0 2
    ShearY 0.7 6        Solarize 0.4 8
    Invert 0.6 0        Rotate 0.8 4
    ShearY 0.3 7        TranslateX 0.9 3
    ShearX 0.1 6        Invert 0.6 0
    Solarize 0.7 2      TranslateY 0.6 7
    ShearY 0.8 4        Invert 0.8 0
    ShearX 0.7 9        TranslateY 0.8 3
    ShearY 0.8 5        AutoContrast 0.7 0
    ShearX 0.7 2        Invert 0.1 0
""")

# The policy of EfficientNet's code, which timm calls v0.
V0 = _parse("""
    Equalize 0.8 1      ShearY 0.8 4
    Color 0.4 9         Equalize 0.6 3
    Color 0.4 1         Rotate 0.6 8
    Solarize 0.8 3      Equalize 0.4 7
    Solarize 0.4 2      Solarize 0.6 2
    Color 0.2 0         Equalize 0.8 8
    Equalize 0.4 8      SolarizeAdd 0.8 3
    ShearX 0.2 9        Rotate 0.6 8
    Color 0.6 1         Equalize 1.0 2
    Invert 0.4 9        Rotate 0.6 0
    Equalize 1.0 9      ShearY 0.6 3
    Color 0.4 7         Equalize 0.6 0
    Posterize 0.4 6     AutoContrast 0.4 7
    Solarize 0.6 8      Color 0.6 9
    Solarize 0.2 4      Rotate 0.8 9
    Rotate 1.0 7        TranslateYRel 0.8 9
    ShearX 0.0 0        Solarize 0.8 4
    ShearY 0.8 0        Color 0.6 4
    Color 1.0 0         Rotate 0.6 2
    Equalize 0.8 4      Equalize 0.0 8
    Equalize 1.0 4      AutoContrast 0.6 2
    ShearY 0.4 7        SolarizeAdd 0.6 7
    Posterize 0.8 2     Solarize 0.6 10
    Solarize 0.6 8      Equalize 0.6 1
    Color 0.8 6         Rotate 0.4 5
""")

# The three augmentations of DeiT III, https://arxiv.org/abs/2204.07118, section 3.2.
THREE_AUGMENT = _parse("""
    Solarize 1.0 5
    Desaturate 1.0 10
    GaussianBlurRand 1.0 10
""")


def rename_operations(policy: PolicyTable, names: Dict[str, str]) -> PolicyTable:
    """Return the policy with some operations renamed."""
    return tuple(
        tuple((names.get(name, name), probability, level) for name, probability, level in sub_policy)
        for sub_policy in policy
    )
