"""What the documentation tells users to paste."""

import pkgutil
import re
import shlex
import shutil

import pytest

from ppcls import load_config
from ppcls.config.find import recipes
from tests.helpers.recipes import ROOT


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def test_the_recipe_for_own_photos_trains_evaluates_and_exports(run, tmp_path, digits):
    (recipe,) = (block for block in blocks("docs/recipes.md", "yaml") if "val_fraction" in block)
    (tmp_path / "photos.yaml").write_text(recipe)
    for line in (digits / "train_list.txt").read_text().splitlines():
        name, label = line.split()
        if int(label) < 5:
            target = tmp_path / "photos" / f"class-{label}" / name.replace("/", "-")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(digits / name, target)
    common = (
        "-c",
        "photos.yaml",
        "-o",
        "DataLoader.Train.loader.num_workers=0",
        "DataLoader.Eval.loader.num_workers=0",
    )
    run("train", *common, "Global.epochs=1", "Global.use_visualdl=false")
    weights = "Global.pretrained_model=output/by_hand/best_model"
    assert '"top1"' in run("eval", *common, weights).stdout
    assert "class-" in run("infer", *common, weights, "Infer.infer_imgs=photos/class-0").stdout
    run("export", *common, weights)
    assert (tmp_path / "output" / "by_hand" / "inference" / "inference.yml").is_file()


@pytest.mark.parametrize("language", ["bash", "python"])
def test_both_readmes_have_the_same_commands(language):
    assert blocks("README.md", language) == blocks("README_ch.md", language)


PAGES_OF_OPTIONS = ("training", "metrics", "several_models", "optimization")


@pytest.mark.parametrize("block", [block for page in PAGES_OF_OPTIONS for block in blocks(f"docs/{page}.md", "yaml")])
def test_the_options_of_training_can_be_pasted(tmp_path, block):
    base = "ImageNet/gMLP/gMLP_S16.yaml"
    if "progressive" in block:  # gMLP takes one size
        base = "ImageNet/ConvMixer/ConvMixer_768_32.yaml"
    head = "" if "MultiScaleSampler" in block else f"_base_: {base}\n"
    (tmp_path / "mine.yaml").write_text(head + block)
    assert load_config(tmp_path / "mine.yaml") != load_config(base)


def test_the_recipe_on_shards_can_be_pasted(tmp_path):
    (recipe,) = (block for block in blocks("docs/shards.md", "yaml") if "ShardDataset" in block)
    (tmp_path / "mine.yaml").write_text(recipe)
    dataset = load_config(tmp_path / "mine.yaml").DataLoader.Train.dataset
    assert dataset.name == "ShardDataset"
    assert "cls_label_path" not in dataset.arguments
    assert dataset.transform_ops


def test_the_inheritance_example_is_a_recipe(run, tmp_path):
    (recipe,) = (block for block in blocks("docs/recipes.md", "yaml") if "_delete_" in block)
    (tmp_path / "mine.yaml").write_text(recipe)
    text = run("config", "-c", "mine.yaml").stdout
    assert "name: SGD" in text
    assert "weight_decay" not in text


def test_the_stages_examples_are_recipes(run, tmp_path):
    two, transfer = (block for block in blocks("docs/stages.md", "yaml") if "Stages:" in block)
    (tmp_path / "two_stages.yaml").write_text(two)
    text = run("config", "-c", "two_stages.yaml", "--stage", "finetune").stdout
    assert "name: ConstLR" in text
    assert "epochs: 2 " in text
    assert "pretrained_model: output/two_stages/pretrain/best_model" in text
    (tmp_path / "transfer.yaml").write_text("_base_: quick_start/digits_ConvMixer.yaml\n" + transfer)
    run("config", "-c", "transfer.yaml", "--stage", "all")


PAGES = [
    "README.md",
    "README_ch.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md")),
    *sorted(str(p.relative_to(ROOT)) for p in [*(ROOT / "deploy").glob("*.md"), *(ROOT / "deploy").glob("*/*.md")]),
]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES)
def test_files_and_python_names_exist(page):
    text = (ROOT / page).read_text()
    text = re.sub(r"(?m)^( *\|)[^|]*(\| `ppcls\.[^|]*\|)$", r"\1\2", text)  # old names in the table of moved modules
    folders = "ppcls|tests|benchmarks|tools|deploy|configs|docs|logs"
    for path in re.findall(rf"(?:`|python )((?:{folders})/[\w./-]+)(?![\w./*<-])", text):
        assert (ROOT / path).exists(), path
    for name in set(re.findall(r"`(ppcls(?:\.\w+)+)", text)) - {"ppcls.components", "ppcls.deploy"}:
        assert pkgutil.resolve_name(name) is not None


def anchors(page):
    """Return what links may name in a page: its headings, as hosts of Markdown write them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_recipes_that_exist_and_overrides_that_fit(page):
    """Every `-c RECIPE -o ...` in a shell block loads; recipes with a path of the user's own are left out."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if "-c" not in words or words[0] not in ("ppcls", "python"):
                continue
            recipe = words[words.index("-c") + 1]
            known = any(recipe.removeprefix("configs/").removesuffix(".yaml") + ".yaml" == name for name in recipes())
            assert known or recipe in OWN or "/" not in recipe, f"{page}: {recipe}"
            if known:
                changes = words[words.index("-o") :] if "-o" in words else []  # before it, `sweep` has lists of values
                load_config(recipe, [word for word in changes if "=" in word and not word.startswith("-")])


OWN = ("RECIPE", "X.yaml", "mine.yaml", "recipe.yaml")


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/models/") and "README" not in page])
def test_the_python_of_a_familys_page_runs(page):
    (code,) = blocks(page, "python")
    import paddle

    size = 224 if "gmlp" in page else 64
    exec(code, {"images": paddle.zeros([1, 3, size, size])})
