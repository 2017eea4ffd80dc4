"""Statistics of ImageNet's training images, scaled to 0..1, per channel (RGB)."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
