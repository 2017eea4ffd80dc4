import numpy as np
import pytest

from ppcls.deploy import inputs
from ppcls.deploy.postprocess import Topk, softmax
from ppcls.errors import DataError


def test_folders_are_searched_recursively_in_order(tmp_path):
    for name in ("b.PNG", "a/2.jpg", "a/10.webp", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    names = [source.name for source in inputs.collect(tmp_path)]
    assert names == [str(tmp_path / n) for n in ("a/10.webp", "a/2.jpg", "b.PNG")]


def test_named_files_bytes_and_arrays_are_taken_as_they_are(tmp_path):
    file = tmp_path / "picture.without-suffix"
    file.write_bytes(b"data")
    image = np.zeros((2, 2, 3), np.uint8)
    sources = inputs.collect([str(file), b"bytes", image])
    assert [source.name for source in sources] == [str(file), "image 2", "image 3"]
    assert sources[0].read() == b"data"
    assert sources[1].read() == b"bytes"
    assert np.shares_memory(sources[2].read(), image)


def test_nothing_to_predict_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no images in this folder"):
        inputs.collect(tmp_path)
    with pytest.raises(DataError, match="no such image or folder"):
        inputs.collect(tmp_path / "nowhere")
    with pytest.raises(DataError, match="the list is empty"):
        inputs.collect([])
    with pytest.raises(DataError, match="not int"):
        inputs.collect(5)


def test_lists_may_have_labels_and_paths_with_spaces(tmp_path):
    (tmp_path / "my photo 7").write_bytes(b"x")
    file = tmp_path / "list.txt"
    file.write_bytes(b"\xef\xbb\xbfa.jpg 3\r\n\r\nb c.jpg 12\r\nd.jpg\r\nmy photo 7\r\n")
    with pytest.raises(DataError, match=r"'a\.jpg 3' and those after it are in none of"):
        inputs.read_list(file, [tmp_path / "elsewhere"])
    (tmp_path / "a.jpg").write_bytes(b"x")
    names = [source.name for source in inputs.read_list(file, [tmp_path / "elsewhere", tmp_path])]
    assert names == [str(tmp_path / n) for n in ("a.jpg", "b c.jpg", "d.jpg", "my photo 7")]


def test_topk_is_sorted_and_stable():
    answer = Topk(3, ["a", "b", "c", "d"])(np.array([0.2, 0.3, 0.2, 0.3]))
    assert answer == {"class_ids": [1, 3, 0], "scores": [0.3, 0.3, 0.2], "label_names": ["b", "d", "a"]}
    assert Topk(5)(np.array([0.5, 0.5]))["class_ids"] == [0, 1]


def test_softmax_of_large_logits_is_finite():
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0, -1000.0]])), [[0.5, 0.5, 0.0]])
