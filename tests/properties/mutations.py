"""What may happen to the data of a world, and what must come of it.

Each mutation changes the files of a side and returns what must follow: "same" (every picture that is left has its own
class), "error", or "either" of the two.
"""

import unicodedata
from dataclasses import dataclass
from typing import Callable, Optional, Tuple

from tests.properties.worlds import class_count

SAME, ERROR, EITHER = "same", "error", "either"
NAMED = ("folders", "named list")
_NEW = 5  # colour of a class that training does not have


@dataclass(frozen=True)
class Mutation:
    """A change of a world's files.

    Attributes:
        apply: ``apply(world, files) -> "same", "error", "either", or None where it changes nothing``.
        layouts: of training data that it needs.
        evaluation: layout of the evaluation data that it needs; None is any.
        of_training: whether it changes the training data, instead of the evaluation data.
    """

    apply: Callable
    layouts: Tuple[str, ...]
    evaluation: Optional[str]
    of_training: bool


MUTATIONS = {}


def _mutation(layouts=(*NAMED, "list"), evaluation=None, of_training=False):
    def register(apply):
        MUTATIONS[apply.__name__] = Mutation(apply, layouts, evaluation, of_training)
        return apply

    return register


def _picked(world, items):
    items = list(items)
    return items[world.pick % len(items)]


def _rename_class(world, files, colour, name):
    """Give a class another name, as a folder or in labels.txt."""
    if files.listed:
        files.names[files.labels[colour]] = name
        files.write_lists()
        return
    old = world.names[colour]
    (files.root / old).rename(files.root / name)
    files.entries = {
        name + path[len(old) :] if path.startswith(old + "/") else path: entry for path, entry in files.entries.items()
    }


def _colour(world):
    return world.pick % len(world.names)


@_mutation()
def nothing(world, files):
    return SAME


@_mutation(NAMED)
def renamed_class(world, files):
    _rename_class(world, files, _colour(world), world.names[_colour(world)] + "x")
    return ERROR


@_mutation(NAMED)
def case_of_a_class(world, files):
    changed = world.names[_colour(world)].swapcase()
    if changed in world.names:
        return None
    _rename_class(world, files, _colour(world), changed)
    return ERROR


@_mutation(NAMED)
def decomposed_letters(world, files):
    changed = unicodedata.normalize("NFD", world.names[_colour(world)])
    if changed in world.names:
        return None
    _rename_class(world, files, _colour(world), changed)
    return SAME


def _remove_class(world, files):
    for path in [path for path, colour in files.entries.items() if colour == _colour(world)]:
        (files.root / path).unlink()
        del files.entries[path]
    if not files.listed:
        for folder in sorted((files.root / world.names[_colour(world)]).rglob("*"), reverse=True):
            folder.rmdir()
        (files.root / world.names[_colour(world)]).rmdir()
    files.write_lists()


def _add_class(files):
    label = max(files.names) + 1
    files.labels[_NEW], files.names[label] = label, "a new one"
    files.add("a new one/0", _NEW, 900)
    files.write_lists()


@_mutation()
def missing_class(world, files):
    _remove_class(world, files)
    return SAME


@_mutation(NAMED)
def added_class(world, files):
    _add_class(files)
    return ERROR


@_mutation(NAMED, of_training=True)
def class_missing_in_training(world, files):
    _remove_class(world, files)
    # Of a list, labels.txt still names the class: no image of it was trained on, which the log says.
    return SAME if files.listed and not files.side.relabel else ERROR


@_mutation(NAMED, of_training=True)
def class_only_in_training(world, files):
    _add_class(files)
    return SAME


@_mutation(("list",))
def added_label(world, files):
    label = next(label for label in range(99) if label not in files.labels.values())
    files.labels[_NEW] = label
    files.add("new", _NEW, 900)
    files.write_lists()
    # Without relabel, a label below the highest one is a class that training has no images of.
    return ERROR if world.train.relabel or label >= class_count(world) else SAME


@_mutation()
def right_class_count(world, files):
    files.arch["class_num"] = class_count(world)
    return SAME


@_mutation()
def larger_class_count(world, files):
    files.arch["class_num"] = class_count(world) + 1
    return SAME if world.train.layout == "list" else ERROR


@_mutation()
def smaller_class_count(world, files):
    files.arch["class_num"] = class_count(world) - 1
    return ERROR


@_mutation(NAMED, "named list")
def label_without_a_name(world, files):
    files.labels[_NEW] = max(files.names) + 1
    files.add("new", _NEW, 900)
    files.write_lists()
    return ERROR


@_mutation(NAMED, "named list")
def names_in_another_order(world, files):
    pairs = [f"{label} {name}" for label, name in files.names.items()]
    files.write_lists(names=pairs[::-1])
    return SAME


@_mutation(NAMED, "named list")
def names_without_numbers(world, files):
    if all(name.partition(" ")[0].isdigit() for name in files.names.values()):
        return None
    files.write_lists(names=[name for _, name in sorted(files.names.items())])
    return SAME


@_mutation(NAMED, "named list")
def relabelled(world, files):
    files.arguments["relabel"] = not files.side.relabel
    return SAME


@_mutation(NAMED, "named list")
def labels_from_one(world, files):
    files.labels = {colour: label + 1 for colour, label in files.labels.items()}
    files.names = {label + 1: name for label, name in files.names.items()}
    files.write_lists()
    return EITHER


@_mutation()
def another_suffix(world, files):
    path = _picked(world, files.entries)
    suffix = _picked(world, ["", ".jfif", ".txt", ".dat", ".png", ".JPG", ".heic", ".tiff", ".html"])
    new = path.rpartition(".")[0] + "-renamed" + suffix
    files.move(path, new)
    files.write_lists()
    return SAME


@_mutation()
def hidden_files(world, files):
    folder = (files.root / _picked(world, files.entries)).parent
    data = (files.root / _picked(world, files.entries)).read_bytes()
    (folder / ".hidden.png").write_bytes(data)
    (folder / "Thumbs.db").write_bytes(b"db")
    (files.root / ".cache").mkdir()
    (files.root / ".cache" / "x.png").write_bytes(data)
    files.unused["hidden"] = 3
    return SAME


@_mutation()
def other_files(world, files):
    folder = (files.root / _picked(world, files.entries)).parent
    (folder / "notes.txt").write_text("no image")
    (folder / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    (folder / "empty").write_bytes(b"")
    (folder / "link").symlink_to("nowhere")
    files.unused["no_images"] = 4
    return SAME


@_mutation()
def picture_beside_the_folders(world, files):
    (files.root / "outside.png").write_bytes((files.root / _picked(world, files.entries)).read_bytes())
    files.unused["outside_folders"] = 1
    return SAME


@_mutation()
def zero_bytes(world, files):
    path = _picked(world, files.entries)
    (files.root / path).write_bytes(b"")
    return ERROR


@_mutation()
def damaged_picture(world, files):
    path = files.root / _picked(world, files.entries)
    path.write_bytes(path.read_bytes()[:40])
    return ERROR


@_mutation()
def dangling_link(world, files):
    path = files.root / _picked(world, files.entries)
    path.unlink()
    path.symlink_to("nowhere.png")
    return ERROR


@_mutation(NAMED, "folders")
def dangling_class(world, files):
    (files.root / "zoo").symlink_to("nowhere")
    return ERROR


@_mutation(NAMED, "folders")
def empty_class(world, files):
    (files.root / "zoo").mkdir()
    return ERROR


@_mutation(("list",))
def missing_file(world, files):
    (files.root / _picked(world, files.entries)).unlink()
    return ERROR


@_mutation(("list",))
def windows_separators(world, files):
    files.write_lists([line.replace("/", "\\") for line in files.lines()])
    return ERROR


@_mutation(("list",))
def windows_line_ends(world, files):
    files.write_lists(end="\r\n", start="\ufeff")
    return SAME


@_mutation(("list",))
def blank_lines(world, files):
    files.write_lists(["", *files.lines(), "  "])
    return SAME


@_mutation(("list",))
def reordered_lines(world, files):
    files.entries = dict(reversed(files.entries.items()))
    files.write_lists()
    return SAME


@_mutation(("list",))
def malformed_label(world, files):
    line = _picked(world, files.lines())
    wrong = _picked(world, ["-1", "1.0", "x", "", "99999999999", "1,0"])
    changed = line[: -len(line.rpartition(files.side.delimiter or " ")[2])] + wrong
    files.write_lists([changed if other == line else other for other in files.lines()])
    return ERROR


@_mutation(NAMED, "named list")
def name_twice(world, files):
    files.names[files.labels[0]] = files.names[files.labels[1]]
    files.write_lists()
    return ERROR


@_mutation(NAMED, "named list")
def two_label_files(world, files):
    """The names are in the folder of the images, and other ones beside the list."""
    names = [files.names[label] for label in sorted(files.names)]
    lists = files.root.parent / "lists"
    lists.mkdir()
    (files.root / "list.txt").rename(lists / "list.txt")
    files.arguments["cls_label_path"] = str(lists / "list.txt")
    turned = _picked(world, [names, names[::-1], [*names, "another"]])
    (lists / "labels.txt").write_bytes("".join(name + "\n" for name in turned).encode())
    return SAME if turned == names else ERROR


@_mutation(NAMED, "named list")
def number_left_out(world, files):
    del files.names[max(files.names)]
    files.write_lists()
    return ERROR
