"""Folders of pictures whose class is their colour, and a run that is over in seconds."""

from tests.helpers.colours import write_folders

NAMES = {"bee": "bee", "cat": "cat", "dog": "dog"}
# A tiny model, whose rate is not tested.
QUICK = ("--epochs", "2", "--image-size", "16", "-o", "Arch.dim=8", "Arch.depth=1", "Arch.kernel_size=3")
RATE = ("Optimizer.lr.learning_rate=0.01", "DataLoader.Train.loader.num_workers=0")


def colours(root, count=12):
    """Write class folders; return their root."""
    write_folders(root, NAMES, count)
    return root
