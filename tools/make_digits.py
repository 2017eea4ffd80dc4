"""Write scikit-learn's handwritten digits as an image folder with train_list.txt, val_list.txt and labels.txt.

The 1,797 pictures of 8 x 8 pixels are shipped inside scikit-learn (UCI ML hand-written digits, CC BY 4.0); nothing is
downloaded. They are enlarged to 32 x 32.
"""

import argparse
import sys
from pathlib import Path

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIZE = 32
EVERY = 5  # each fifth picture of a class is for validation


def main() -> int:
    """Write the data set; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write")
    folder = parser.parse_args().folder
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        print(
            'error: scikit-learn is missing: pip install ".[report]" in the clone of this repository', file=sys.stderr
        )
        return 2
    import cv2

    digits = load_digits()
    lists = {"train": [], "val": []}
    seen = [0] * len(NAMES)
    for image, label in zip(digits.images, digits.target):
        split = "val" if seen[label] % EVERY == 0 else "train"
        name = f"{split}/{NAMES[label]}/{seen[label]:03d}.png"
        seen[label] += 1
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        large = cv2.resize((image * 255 / 16).astype("uint8"), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        if not cv2.imwrite(str(folder / name), large):
            print(f"error: {folder / name} cannot be written", file=sys.stderr)
            return 2
        lists[split].append(f"{name} {label}\n")
    for split, lines in lists.items():
        (folder / f"{split}_list.txt").write_text("".join(lines))
    (folder / "labels.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(NAMES)))
    print(f"{folder}: {len(lists['train'])} pictures to train with, {len(lists['val'])} to evaluate with")
    return 0


if __name__ == "__main__":
    sys.exit(main())
