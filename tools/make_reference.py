"""Write the generated pages.

These are docs/components.md, every component that a recipe may name; docs/recipe_keys.md, every key; and the tables of
the variants in docs/models.
"""

import inspect
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from recipe_keys import keys_page

from ppcls.utils import environment

TITLES = {
    "architecture": ("Architectures", "Arch.name"),
    "dataset": ("Data sets", "DataLoader.*.dataset.name"),
    "sampler": ("Samplers", "DataLoader.*.sampler.name"),
    "transform": ("Transforms", "transform_ops"),
    "batch_transform": ("Batch transforms", "DataLoader.Train.dataset.batch_transform_ops"),
    "loss": ("Losses", "Loss.Train and Loss.Eval"),
    "metric": ("Metrics", "Metric.Train and Metric.Eval"),
    "postprocess": ("Post-processing", "Infer.PostProcess.name"),
    "optimizer": ("Optimizers", "Optimizer.name"),
    "schedule": ("Learning-rate schedules", "Optimizer.lr.name"),
    "callback": ("Callbacks", "Callbacks"),
}
HEADER = """# Components

Everything that a recipe may name, with its arguments and their defaults. An argument without a default is required.
[Your own components](your_own.md) are named in the same way. Written by `make reference`.
"""
NOTES = {
    "callback": "What every run has (log, `metrics.jsonl`, early stopping) is set by `Global`. These are "
    "[experiment trackers](trackers.md); [write your own](callbacks.md).\n"
}


def reference() -> str:
    """Return the text of the page."""
    environment.import_paddle()
    from ppcls.engine.components import REGISTRIES

    parts = [HEADER]
    for kind, (title, where) in TITLES.items():
        registry = REGISTRIES[kind]
        parts.append(f"## {title}\n\nIn `{where}`.\n")
        parts += [NOTES[kind]] if kind in NOTES else []
        parts += [entry_text(registry[name]) for name in registry.names()]
    return "\n".join(parts)


def entry_text(entry) -> str:
    """Return one component: its name, what it does, its arguments."""
    summary = as_markdown((inspect.getdoc(entry.target) or "").split("\n\n")[0])
    arguments = [
        f"`{parameter.name}`" if parameter.required else f"`{parameter.name}={written(parameter.default)}`"
        for parameter in entry.parameters()
    ]
    return f"- **{entry.name}**: {summary}\n  Arguments: {', '.join(arguments) or 'none'}\n"


def as_markdown(summary: str) -> str:
    """Return a docstring's summary as Markdown, without the "Return" with which those of functions begin."""
    text = summary.replace("\n", " ").replace("``", "`")
    if not text.startswith("Return "):
        return text
    text = text[len("Return ") :]
    return text[:1].upper() + text[1:]


def written(value) -> str:
    """Return a default as a recipe writes it."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(written(item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value) if isinstance(value, str) else str(value)


def with_tables(page: str) -> str:
    """Return a page of docs/models with the table between its marks brought up to date."""
    return re.sub(
        r"(<!-- variants of (\w+|all families) -->\n).*?(<!-- end -->)",
        lambda match: match[1] + variants_table("*" if " " in match[2] else match[2]) + match[3],
        page,
        flags=re.DOTALL,
    )


def variants_table(family: str) -> str:
    """Return a Markdown table of a family's variants."""
    environment.import_paddle()
    from ppcls.arch.catalog import catalog

    rows = [row for row in catalog() if family in ("*", row["family"])]
    rows.sort(key=lambda row: (row["family"], row["image_size"] < 224, row["params"]))
    lines = [
        "| variant | parameters | multiply-adds | input | top-1 | crop | mean; std | weights |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for row in rows:
        numbers = "; ".join(", ".join(f"{value:g}" for value in row[key]) for key in ("mean", "std"))
        lines.append(
            f"| {row['name']} | {row['params']:,} | {row['macs'] / 1e9:.2f} G | {row['image_size']} | "
            f"{row['top1'] or '-'} | {row['crop_pct']:g} | {numbers} | {weights_text(row)} |"
        )
    return "\n".join(lines) + "\n"


def weights_text(row) -> str:
    """Return where the published weights are, and under which licence."""
    if row["url"] is None:
        return "none published"
    return f"[{row['url'].rsplit('/', 1)[-1]}]({row['url']}), {row['licence'] or 'licence not stated'}"


def generated():
    """Return the pages that are generated as a whole: {name in docs: text}."""
    return {"components.md": reference(), "recipe_keys.md": keys_page()}


def pages():
    """Yield the pages that have tables."""
    yield from sorted((ROOT / "docs" / "models").glob("*.md"))


if __name__ == "__main__":
    for path in pages():
        path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
    for name, text in generated().items():
        (ROOT / "docs" / name).write_text(text, encoding="utf-8")
