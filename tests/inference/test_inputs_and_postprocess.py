import io

import cv2
import numpy as np
import pytest

from ppcls.data.transforms import build_transforms
from ppcls.data.transforms.decode import decode_image
from ppcls.errors import DataError
from ppcls.inference import inputs
from ppcls.inference.postprocess import Topk, softmax
from ppcls.inference.source import MAX_BYTES


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


def test_patterns_mean_all_files_that_match_and_a_file_of_that_name_wins(tmp_path, monkeypatch):
    for name in ("a.jpg", "b.png", "in/c.jpg", "in/deep/d.jpg", "in/notes.txt", "[x].jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)

    def names(*patterns):
        return [source.name for source in inputs.collect(list(patterns))]

    assert names("**/*.jpg") == ["[x].jpg", "a.jpg", "in/c.jpg", "in/deep/d.jpg"]
    assert names("?.*", "in/*") == ["a.jpg", "b.png", "in/c.jpg", "in/notes.txt"]  # not the folder in/deep
    assert names(tmp_path / "in/**/*.jpg") == [str(tmp_path / "in/c.jpg"), str(tmp_path / "in/deep/d.jpg")]
    assert names("[x].jpg") == ["[x].jpg"]
    with pytest.raises(DataError, match=r"\*\.webp: no file matches"):
        names("*.webp")
    with pytest.raises(DataError, match="only folders match, such as in/deep"):
        names("in/d*p")


def test_addresses_are_taken_without_asking_for_them():
    (source,) = inputs.collect("https://nowhere.invalid/a.jpg")
    assert source.name == "https://nowhere.invalid/a.jpg"
    with pytest.raises(DataError, match="only http:// and https:// are read, not ftp://"):
        inputs.collect("ftp://example.org/a.jpg")


def test_open_files_give_their_bytes(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"data")
    with (tmp_path / "a.jpg").open("rb") as file:
        sources = inputs.collect([file, io.BytesIO(b"more"), bytearray(b"and"), memoryview(b"more")])
    assert [source.name for source in sources] == [str(tmp_path / "a.jpg"), "image 2", "image 3", "image 4"]
    assert [source.read() for source in sources] == [b"data", b"more", b"and", b"more"]
    with (tmp_path / "a.jpg").open() as file, pytest.raises(DataError, match=r"open it in binary mode \('rb'\)"):
        inputs.collect(file)


def read(image):
    (source,) = inputs.collect([image])
    return source.read()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_gray_and_transparent_arrays_become_what_such_files_become(channels):
    rng = np.random.default_rng(0)
    gray, rgba = rng.integers(0, 256, (5, 7), np.uint8), rng.integers(0, 256, (5, 7, 4), np.uint8)
    decode = build_transforms([{"DecodeImage": {"channels": channels}}])
    for array in (gray, gray[:, :, None], rgba, rgba[:, :, :3]):
        in_bgr = array[:, :, [2, 1, 0, 3][: array.shape[2]]] if array.shape[2:] > (1,) else array
        png = cv2.imencode(".png", in_bgr)[1].tobytes()
        expected = decode_image(png, channels=channels)
        assert expected.shape == (5, 7, channels)
        for image in (array, png):
            np.testing.assert_array_equal(decode(read(image), rng), expected)


def test_without_decoding_arrays_are_rgb():
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (5, 7, 4), np.uint8)
    flip = build_transforms([{"RandFlipImage": {"prob": 0}}])
    np.testing.assert_array_equal(flip(read(rgba), rng), rgba[:, :, :3])
    np.testing.assert_array_equal(flip.batch(np.stack([rgba]), [rng])[0], rgba[:, :, :3])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros((4, 4, 3), np.float32),
            r"float32: takes uint8.* from 0 to 1, \(array \* 255\)\.astype",
        ),
        (np.zeros((4, 4, 3), np.int64), r"int64: takes uint8, .* from 0 to 255, array\.astype\(np\.uint8\)"),
        (np.zeros((4, 4, 2), np.uint8), r"shape \[4, 4, 2\]: takes RGB"),
        (np.zeros((3, 4, 4), np.uint8)[:, :, :0], "takes RGB"),
        (np.zeros((0, 4, 3), np.uint8), "takes RGB"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"as a list: list\(array\)"),
    ],
)
def test_other_arrays_are_refused(array, message):
    with pytest.raises(DataError, match=message):
        read(array)


def test_pillow_images_are_what_their_files_are(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for mode in ("RGB", "L", "P", "RGBA"):
        image = pillow.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8)).convert(mode)
        for orientation in range(9):
            exif = image.getexif()
            exif[0x0112] = orientation
            image.save(tmp_path / "x.png", exif=exif)
            for channels in (1, 3, 4):
                decode = build_transforms([{"DecodeImage": {"channels": channels}}])
                with pillow.open(tmp_path / "x.png") as opened:
                    np.testing.assert_array_equal(
                        decode(read(opened), rng),
                        decode_image((tmp_path / "x.png").read_bytes(), channels=channels),
                        f"{mode}, {orientation}, {channels}",
                    )
    with pytest.raises(DataError, match="of mode F"):
        read(pillow.fromarray(np.zeros((4, 4), np.float32)))


def test_an_iterator_is_for_streams():
    with pytest.raises(DataError, match=r"give it to stream\(\), or make a list of it"):
        inputs.collect(path for path in ["a.jpg"])


def test_a_stream_goes_on_after_what_means_no_image(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"data")
    images = (image for image in [tmp_path / "nowhere.jpg", 5, tmp_path / "a.jpg"])
    sources = list(inputs.collect_lazily(images))
    assert [source.name for source in sources] == [str(tmp_path / "nowhere.jpg"), "image 2", str(tmp_path / "a.jpg")]
    with pytest.raises(DataError, match="no such image or folder"):
        sources[0].read()
    with pytest.raises(DataError, match="not int"):
        sources[1].read()
    assert sources[2].read() == b"data"


def test_paths_that_cannot_be_looked_up_are_errors_of_theirs(tmp_path):
    wrong = ["~nosuchuser/a.jpg", "~nosuchuser/*.jpg", "x" * 300, ""]
    home = "no home folder known for ~nosuchuser; "
    messages = [home, home, "File name too long", "empty"]
    for path, message in zip(wrong, messages):
        with pytest.raises(DataError, match=message):
            inputs.collect([path])
    (tmp_path / "a.jpg").write_bytes(b"data")
    *errors, good = inputs.collect_lazily([*wrong, tmp_path / "a.jpg"])
    assert [source.name for source in errors] == wrong
    for source, message in zip(errors, messages):
        with pytest.raises(DataError, match=message):
            source.read()
    assert good.read() == b"data"


def test_a_folder_with_brackets_in_its_name_can_be_part_of_a_pattern(tmp_path):
    for folder in ("sub[1]", "sub1"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(b"data")
    names = [source.name for source in inputs.collect(f"{tmp_path}/sub[[]1]/*.png")]
    assert names == [f"{tmp_path}/sub[1]/a.png"]


def test_a_buffer_may_be_filled_again_once_it_was_taken():
    array, content = np.zeros((4, 5, 3), np.uint8), bytearray(4)

    def buffers():
        for value in range(1, 4):
            array[:], content[:] = value, bytes([value]) * 4
            yield array
            yield content
            yield memoryview(content)

    taken = [source.read() for source in list(inputs.collect_lazily(buffers()))]
    assert [np.unique(image).tolist() for image in taken[::3]] == [[1], [2], [3]]
    assert taken[1::3] == taken[2::3] == [bytes([value]) * 4 for value in range(1, 4)]


def test_frames_of_one_pillow_image_are_different_pictures(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    from PIL import ImageSequence

    frames = [pillow.fromarray(np.full((4, 5), value, np.uint8)) for value in (10, 20, 30)]
    frames[0].save(tmp_path / "x.tiff", save_all=True, append_images=frames[1:])
    with pillow.open(tmp_path / "x.tiff") as opened:
        sources = list(inputs.collect_lazily(ImageSequence.Iterator(opened)))
    assert [np.unique(source.read()).tolist() for source in sources] == [[10], [20], [30]]
    (broken,) = inputs.collect_lazily([pillow.fromarray(np.zeros((4, 4), np.float32))])
    with pytest.raises(DataError, match="of mode F"):
        broken.read()


def test_files_that_cannot_be_read_or_are_endless_say_so(tmp_path):
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    (source,) = inputs.collect(tmp_path)  # a broken link in a folder is not passed over
    with pytest.raises(DataError, match="cannot be read: No such file"):
        source.read()
    with (tmp_path / "huge.bmp").open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # takes no room on the disk
    (source,) = inputs.collect(tmp_path / "huge.bmp")
    with pytest.raises(DataError, match="more than 1073741824 bytes"):
        source.read()


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
    file.write_bytes(
        b"\xef\xbb\xbfa.jpg 3\r\n\r\nb c.jpg 12\r\nd.jpg\r\nmy photo 7\r\ne f.jpg\t5\r\nx\xe2\x80\xa8y.jpg 1\r\n"
    )
    with pytest.raises(DataError, match=r"'a\.jpg 3' and those after it are in none of"):
        inputs.read_list(file, [tmp_path / "elsewhere"])
    (tmp_path / "a.jpg").write_bytes(b"x")
    names = [source.name for source in inputs.read_list(file, [tmp_path / "elsewhere", tmp_path])]
    assert names == [str(tmp_path / n) for n in ("a.jpg", "b c.jpg", "d.jpg", "my photo 7", "e f.jpg", "x\u2028y.jpg")]


def test_topk_is_sorted_and_stable():
    answer = Topk(3, ["a", "b", "c", "d"])(np.array([0.2, 0.3, 0.2, 0.3]))
    assert answer == {"class_ids": [1, 3, 0], "scores": [0.3, 0.3, 0.2], "label_names": ["b", "d", "a"]}
    assert Topk(5)(np.array([0.5, 0.5]))["class_ids"] == [0, 1]


def test_softmax_of_large_logits_is_finite():
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0, -1000.0]])), [[0.5, 0.5, 0.0]])
