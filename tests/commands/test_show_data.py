"""``ppcls show-data``: what the model sees."""

import cv2
import numpy as np

from tests.commands.scenes import lines, recipe_of


def test_what_the_model_sees_is_drawn(photos, run):
    run("split-data", photos)
    path = recipe_of(photos, Train=photos / "train_list.txt", Eval=photos / "val_list.txt")
    run("show-data", "-c", path, "-n", "4", "--split", "Eval", "--out", "eval.png")
    sheet = cv2.imread(str(photos.parent / "eval.png"))
    first = cv2.imread(str(photos / lines(photos / "val_list.txt")[0][0]))
    last = cv2.imread(str(photos / lines(photos / "val_list.txt")[-1][0]))
    for image, (top, left) in ((first, (4, 4)), (last, (-(96 + 4 + 15), -(96 + 4)))):
        expected = cv2.resize(image[:, :, ::-1], (48, 48))[:, :, ::-1]
        shown = sheet[top:, left:][:96, :96]
        np.testing.assert_allclose(shown[::2, ::2].astype(int), expected, atol=1)  # twice as large
        np.testing.assert_array_equal(shown[::2, ::2], shown[1::2, 1::2])
    mixed = "DataLoader.Train.dataset.batch_transform_ops=[{MixupCutmixOperator: }]"
    run("show-data", "-c", path, "-n", "9", "-o", mixed, "--out", "train.png")
    train = cv2.imread(str(photos.parent / "train.png"))
    assert train.shape[0] > 3 * 48
    run("show-data", "-c", path, "-n", "9", "-o", mixed, "--out", "again.png")
    assert np.array_equal(train, cv2.imread(str(photos.parent / "again.png")))
    run("show-data", "-c", path, "-n", "9", "--epoch", "1", "-o", mixed, "--out", "again.png")
    assert not np.array_equal(train, cv2.imread(str(photos.parent / "again.png")))
    assert "at least 1" in run("show-data", "-c", path, "-n", "0", code=2).stderr
    assert "cannot be written" in run("show-data", "-c", path, "--out", "no/where.png", code=2).stderr
    assert "name a .png or .jpg file" in run("show-data", "-c", path, "--out", "sheet.txt", code=2).stderr
