"""The notebooks of docs/notebooks: they run from top to bottom, and are committed as such a run left them."""

import base64
import json
import re

import pytest

from tests.helpers.recipes import ROOT

FOLDER = ROOT / "docs" / "notebooks"
NAMES = sorted(path.name for path in FOLDER.glob("*.ipynb"))
MAX_PICTURES = 300_000  # bytes of all pictures of a notebook


def cells(name, kind):
    return [cell for cell in json.loads((FOLDER / name).read_text())["cells"] if cell["cell_type"] == kind]


def test_both_notebooks_are_there():
    assert NAMES == ["own_photos.ipynb", "research.ipynb"]


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_one_run_without_errors_and_small(name):
    code = cells(name, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert "error" not in {output["output_type"] for output in outputs}
    pictures = [
        base64.b64decode(output["data"]["image/png"]) for output in outputs if "image/png" in output.get("data", {})
    ]
    assert pictures
    assert sum(map(len, pictures)) < MAX_PICTURES


@pytest.mark.parametrize("name", NAMES)
def test_links_of_notebooks_lead_somewhere(name):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", "\n".join("".join(cell["source"]) for cell in cells(name, "markdown")))
    assert links
    for link in links:
        assert "://" in link or (FOLDER / link).exists(), link


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_runs_from_top_to_bottom(name, tmp_path, monkeypatch):
    """In a folder like the clone: it has docs/notebooks and tools."""
    nbclient = pytest.importorskip("nbclient", reason="notebooks are run by nbclient")
    pytest.importorskip("ipykernel", reason="notebooks are run by ipykernel")
    pytest.importorskip("matplotlib", reason="notebooks draw with matplotlib")
    nbformat = pytest.importorskip("nbformat")
    folder = tmp_path / "clone" / "docs" / "notebooks"
    folder.mkdir(parents=True)
    (tmp_path / "clone" / "tools").symlink_to(ROOT / "tools")
    for variable, value in (("PYTHONPATH", ROOT), ("IPYTHONDIR", tmp_path / "ipython"), ("MPLBACKEND", "")):
        monkeypatch.setenv(variable, str(value))
    notebook = nbformat.read(FOLDER / name, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()  # an error in a cell is raised
    text = "".join(
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output["output_type"] == "stream"
    )
    for result in RESULTS[name]:
        assert re.search(result, text), result


RESULTS = {  # what the cells have to print
    "own_photos.ipynb": (r"top-1 accuracy: (9\d\.\d|100\.0) %", r"serving ConvMixer at http://", r'"label_names": \['),
    "research.ipynb": (
        r"largest relative error \d\.\de-",
        r"did you mean 'depth'",
        r"AxialMLP: [89]\d\.\d %",
        r"McNemar's exact test: p = ",
    ),
}
