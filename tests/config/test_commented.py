"""A recipe as text for people."""

from ppcls.config.commented import to_text
from ppcls.config.loading import inherit
from ppcls.config.tree import plain

VALUES = {
    "Global": {"epochs": 3, "output_dir": "out/my photos, new", "image_shape": [3, 64, 64], "imports": []},
    "Arch": {"name": "ConvMixer", "pretrained": None, "depth": 8, "scale": 1e-06},
    "DataLoader": {
        "Train": {
            "dataset": {
                "name": "ImageFolder",
                "image_root": "C: #1 {x}",
                "transform_ops": [{"DecodeImage": None}, {"RandCropImage": {"size": 64, "scale": [0.35, 1.0]}}],
            },
            "sampler": {"batch_size": 32, "shuffle": True},
        }
    },
    "Stages": [{"name": "yes"}, {"name": "2024", "override": {"Global.epochs": 20, "Optimizer.lr": {"eta_min": 0.5}}}],
}


def test_it_is_read_back(tmp_path):
    comments = {
        ("Global", "epochs"): "few",
        ("DataLoader", "Train", "dataset", "transform_ops"): "long " * 30,
        ("Stages", 1, "override", "Global.epochs"): "many",
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(to_text(VALUES, comments, "one\ntwo"))
    assert plain(inherit.read(path)) == VALUES


def test_its_form():
    comments = {("Global", "epochs"): "few", ("Arch", "name"): "long " * 30}
    lines = to_text(VALUES, comments, "made by hand").splitlines()
    assert lines[0] == "# made by hand"
    assert "  epochs: 3  # few" in lines
    assert lines[lines.index("  name: ConvMixer") - 1].startswith("  # long long")
    assert "        - RandCropImage: {size: 64, scale: [0.35, 1.0]}" in lines
    assert "    sampler: {batch_size: 32, shuffle: true}" in lines
    assert '  output_dir: "out/my photos, new"' in lines
    assert "        - DecodeImage:" in lines
    assert max(len(line) for line in lines if "long" not in line) <= 116
