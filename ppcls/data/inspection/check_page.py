"""The result of a check as a single HTML page, without scripts or external resources."""

from __future__ import annotations

from html import escape
from typing import List, Mapping, Optional, Sequence

from ppcls.data.inspection.checking import ERRORS, Check, Group, numbered
from ppcls.data.inspection.scanning import COLOUR
from ppcls.data.inspection.thumbnails import Thumbnails, choose_samples, members

_SPLITS = {"Train": "training", "Eval": "validation"}  # as they are shown
_MAX_LISTED = 200  # problems of one kind
_MAX_MEMBERS = 6  # copies of one image that are shown
_MAX_GROUPS = 100  # of copies that are shown with pictures
_SAMPLES, _TOTAL_SAMPLES = 12, 2400  # pictures of one class, and of all: a page of at most about 10 MB
_MAX_OPEN = 20  # classes; further ones are folded up

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #5b8fd0; --wrong: #b00020 }
@media (prefers-color-scheme: dark) { :root { --wrong: #ff8a80 } }
* { box-sizing: border-box }
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1rem }
h1 { font-size: 1.5rem; margin: .5rem 0; overflow-wrap: anywhere } h2 { font-size: 1.2rem; margin: 2rem 0 .6rem }
.wrong { color: var(--wrong) } .quiet { opacity: .7 }
.tiles { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1rem 0 }
.tiles a { border: 1px solid var(--line); border-radius: .5rem; padding: .4rem .7rem; color: inherit;
  text-decoration: none; min-width: 7rem; flex: 0 1 auto; font-size: .9rem }
.tiles b { display: block; font-size: 1.3rem } .tiles .wrong { border-color: var(--wrong) }
.class { display: grid; grid-template-columns: 13rem 1fr; gap: .4rem 1rem; padding: .6rem 0;
  border-top: 1px solid var(--line) }
.class h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere }
.bar { background: var(--bar); height: .5rem; border-radius: .25rem; min-width: 1px }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(4.6rem, 1fr)); gap: .3rem;
  align-content: start }
.thumb { width: 100%; max-width: 6rem; aspect-ratio: 1; object-fit: contain; background: var(--line);
  border-radius: .3rem; display: block }
.none { font-size: .75rem; display: grid; place-items: center; text-align: center }
details { border-top: 1px solid var(--line); padding: .5rem 0 } summary { cursor: pointer; padding: .2rem 0 }
.group { display: flex; flex-wrap: wrap; gap: .8rem; padding: .6rem 0; border-top: 1px dotted var(--line) }
figure { margin: 0; width: 10rem; max-width: 100% }
figcaption, li, pre { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere }
figcaption b { display: block } ul { padding-left: 1.2rem }
pre { white-space: pre-wrap; background: var(--line); padding: .7rem; border-radius: .4rem }
@media (max-width: 40rem) { .class { grid-template-columns: 1fr } figure { width: calc(50% - .4rem) }
  .strip { grid-template-columns: repeat(auto-fill, minmax(4rem, 1fr)) } }
"""


def render_page(check: Check, title: str, next_command: str = "", workers: Optional[int] = None) -> str:
    """Return the page of a check.

    Args:
        title: what was checked.
        next_command: what to type next; "" says nothing.
        workers: processes that read thumbnails; by default one per core.
    """
    samples = choose_samples(check.checked, _SAMPLES, _TOTAL_SAMPLES)
    shown = [place for group in check.groups.values() for place in members(group[:_MAX_GROUPS], _MAX_MEMBERS)]
    thumbnails = Thumbnails([*(place for of_class in samples.values() for place in of_class), *shown], workers)
    verdict = "nothing wrong was found" if check.report["ok"] else "there are mistakes"
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}: <span class='{'' if check.report['ok'] else 'wrong'}'>{verdict}</span></h1>",
        *_facts(check),
        _tiles(check.report["problems"]),
        "<h2>Classes</h2>",
        *_gallery(
            check.report["classes"],
            {name: "".join(map(thumbnails.image, of_class)) for name, of_class in samples.items()},
        ),
    ]
    if check.report["problems"]:
        parts.append("<h2>Findings</h2>")
    for kind, lines in check.report["problems"].items():
        parts += _finding(kind, lines, check.groups.get(kind, ()), thumbnails)
    if next_command:
        parts.append(f"<h2>Next</h2><pre>{escape(next_command)}</pre>")
    return "\n".join([*parts, "</body></html>\n"])


def _facts(check: Check) -> List[str]:
    """Return a line for each split: how many images, classes and labels, and how large the images are."""
    lines = []
    for item in check.checked:
        counts = check.report["classes"][item.split]
        facts = [f"{len(item.findings):,} images", f"{sum(map(bool, counts.values())):,} classes"]
        if item.dataset.is_multilabel:
            labels = check.report["labels_per_image"][item.split]
            facts.append(f"{labels['mean']:.2f} labels per image, {labels['none']:,} images without any")
        sizes = check.report["sizes"][item.split]
        if sizes:
            facts.append(", ".join(f"{name} {width} × {height}" for name, (width, height) in sizes.items()) + " pixels")
        modes = check.report["modes"][item.split]
        if set(modes) - {COLOUR}:
            numbers = [f"{count:,} {mode}" for mode, count in modes.items()]
            facts.append(", ".join(numbers) if len(modes) > 1 else f"all {next(iter(modes))}")
        name = f"{_SPLITS[item.split].capitalize()}: " if item.split in _SPLITS else ""
        lines.append(f"<p>{name}{'; '.join(facts)}</p>")
    return lines


def _tiles(problems: Mapping[str, Sequence[str]]) -> str:
    """Return the number of problems of each kind, as links."""
    tiles = (
        f"<a href='#{kind}' class='{'wrong' if kind in ERRORS else ''}'>{_numbered(kind, len(lines))}</a>"
        for kind, lines in problems.items()
    )
    return f"<nav class='tiles'>{''.join(tiles)}</nav>" if problems else ""


def _numbered(kind: str, count: int) -> str:
    number, _, title = numbered(kind, count).partition(" ")
    return f"<b>{number}</b> {escape(title)}"


def _gallery(splits: Mapping[str, Mapping[str, int]], samples: Mapping[str, str]) -> List[str]:
    """Return each class with its number of images and samples.

    Args:
        splits: number of images by class name, by split.
        samples: elements by class name.
    """
    names = list(dict.fromkeys(name for counts in splits.values() for name in counts))
    totals = {name: sum(counts.get(name, 0) for counts in splits.values()) for name in names}
    largest = max(totals.values(), default=0) or 1
    rows = []
    for name in names:
        numbers = {_SPLITS.get(split, ""): counts.get(name, 0) for split, counts in splits.items()}
        text = ", ".join(f"{count:,} {split}".rstrip() for split, count in numbers.items())
        rows.append(
            f"<div class='class'><div><h3>{escape(name)}</h3><span class='quiet'>{text}</span>"
            f"<div class='bar' style='width:{100 * totals[name] / largest:.1f}%'></div></div>"
            f"<div class='strip'>{samples.get(name, '')}</div></div>"
        )
    further = rows[_MAX_OPEN:]
    folded = [f"<details><summary>{len(further):,} more classes</summary>", *further, "</details>"] if further else []
    return [*rows[:_MAX_OPEN], *folded]


def _finding(kind: str, lines: Sequence[str], groups: Sequence[Group], thumbnails: Thumbnails) -> List[str]:
    """Return the problems of one kind, folded up; copies with their pictures.

    Args:
        groups: copies, one for each of ``lines``; nothing for other problems.
    """
    # The target of a link is inside: browsers unfold what contains it.
    parts = [
        f"<details><summary class='{'wrong' if kind in ERRORS else ''}'>{_numbered(kind, len(lines))}</summary>"
        f"<div id='{kind}'>"
    ]
    pictured = groups[:_MAX_GROUPS]
    parts += [_pictures(group, thumbnails) for group in pictured]
    listed = lines[len(pictured) : _MAX_LISTED]
    parts.append("".join(["<ul>", *(f"<li>{escape(line)}</li>" for line in listed), "</ul>"]) if listed else "")
    more = len(lines) - len(pictured) - len(listed)
    parts.append(f"<p>and {more:,} more; the JSON file beside this page has all</p>" if more else "")
    return [*parts, "</div></details>"]


def _pictures(group: Group, thumbnails: Thumbnails) -> str:
    """Return copies of one image beside each other, each with its place and class."""
    figures = [
        f"<figure>{thumbnails.image((item, index))}<figcaption><b>{escape(item.labels(index))}</b>"
        f"{escape(item.describe(index))}</figcaption></figure>"
        for item, index in group[:_MAX_MEMBERS]
    ]
    more = [f"<p>and {len(group) - _MAX_MEMBERS:,} more</p>"] if len(group) > _MAX_MEMBERS else []
    return f"<div class='group'>{''.join([*figures, *more])}</div>"
