"""A recipe completed by what Python code gives to ``ppcls.train``: a model and data sets."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from ppcls.arch import SUPPLIED_MODEL, ModelSpec, list_models, spec
from ppcls.config.overrides import set_at
from ppcls.config.tree import Node, Path, descend, dotted, plain
from ppcls.config.values import from_values
from ppcls.data.datasets import SUPPLIED_DATASET, Dataset
from ppcls.data.transforms import TransformOp, name_and_arguments
from ppcls.engine.supplied import Supplied
from ppcls.errors import ConfigError
from ppcls.preprocessing import transform_ops

_BATCH_SIZE = 32
_DEFAULT = "default of ppcls.train"
_OPS = "transform_ops"


class RecipeCompletion:
    """Writes supplied parts into a recipe, and fills in what training on them needs and the recipe leaves out.

    Args:
        supplied: a model and data sets.

    Attributes:
        notes: what was filled in, for the log.
    """

    def __init__(self, supplied: Supplied) -> None:
        self._supplied = supplied
        self._tree = Node({}, "")
        self._problems: List[str] = []
        self.notes: List[str] = []

    def __call__(self, tree: Node) -> Tuple[Node, List[str]]:
        """Return the completed recipe, and what it lacks that cannot be filled in."""
        self._tree, self.notes, self._problems = tree, [], []
        if self._supplied.model is not None:
            self._take_model(self._supplied.model)
        datasets = {"Train": self._supplied.train_dataset, "Eval": self._supplied.eval_dataset}
        for side, dataset in datasets.items():
            if dataset is not None:
                self._take_dataset(side, dataset)
        if self._supplied.train_dataset is not None:
            self._fill_class_num(self._supplied.train_dataset)
            self._fill_evaluation()
        if self._get("Stages") is None:  # which may add it
            self._require_sections()
        return self._tree, self._problems

    def _require_sections(self) -> None:
        """Note what any training needs and the schema does not ask for."""
        needed = {
            ("Global", "epochs"): "",
            ("Optimizer",): "",
            ("DataLoader", "Train"): "; or give train_dataset=...",
        }
        for path, advice in needed.items():
            if self._get(*path) is None:
                self._problems.append(f"{dotted(path)}: missing; training needs it{advice}")

    def _take_model(self, model: Any) -> None:
        before = self._get("Arch", "name")
        kind = type(model)
        arch = {"name": SUPPLIED_MODEL, "class_name": f"{kind.__module__}.{kind.__qualname__}"}
        class_num = self._get("Arch", "class_num") or getattr(model, "class_num", None)
        if class_num is not None:
            arch["class_num"] = class_num
        self._set(("Arch",), arch, "ppcls.train(model=...)")
        replaced = f", in place of {before}" if before else ""
        self.notes.append(f"the model is a {kind.__name__} that was given in Python{replaced}")

    def _take_dataset(self, side: str, dataset: Dataset) -> None:
        section = ("DataLoader", side, "dataset")
        origin = f"ppcls.train({side.lower()}_dataset=...)"
        kept = {key: value for key in (_OPS, "batch_transform_ops") if (value := self._get(*section, key)) is not None}
        # Known keys keep their place in the file, by which messages name them.
        node = descend(self._tree, section)[0] if self._get(*section) is not None else Node({}, origin)
        operations = {key: node.value[key] for key in kept}
        name = from_values({"name": SUPPLIED_DATASET}, origin).value
        self._tree = set_at(self._tree, section, Node({**name, **operations}, origin))
        self.notes.append(f"DataLoader.{side}: {len(dataset)} images that were given in Python")
        if _OPS not in kept:
            self._fill_transforms((*section, _OPS), train=side == "Train")
        self._fill(("DataLoader", side, "sampler", "batch_size"), self._batch_size())
        if side == "Train":
            self._fill(("DataLoader", side, "sampler", "shuffle"), True)
        self._fill(("DataLoader", side, "loader", "num_workers"), 0)

    def _batch_size(self) -> int:
        return self._get("DataLoader", "Train", "sampler", "batch_size") or _BATCH_SIZE

    def _fill_class_num(self, dataset: Dataset) -> None:
        names = dataset.class_names
        self._fill(("Arch", "class_num"), max(1, int(dataset.labels.max()) + 1) if names is None else len(names))

    def _fill_evaluation(self) -> None:
        """Do not evaluate where there is nothing to evaluate on; say how images are prepared all the same."""
        if self._get("DataLoader", "Eval") is not None:
            return
        self._fill(("Global", "eval_during_train"), False)
        if self._get("Infer", "transforms") is None:
            self._fill_transforms(("Infer", "transforms"), train=False)

    def _fill_transforms(self, path: Path, train: bool) -> None:
        try:
            operations = self._default_ops(train)
        except ConfigError as error:
            self._problems.append(str(error))
            return
        self._set(path, operations, _DEFAULT)
        names = ", ".join(name for name, _ in map(name_and_arguments, operations))
        self.notes.append(f"{dotted(path)} is not in the recipe: {names}; config.yaml has their arguments")

    def _default_ops(self, train: bool) -> List[TransformOp]:
        """Return the transforms of the model's spec, at the recipe's image size and with its normalization.

        Raises:
            ConfigError: there is no spec, and no image size.
        """
        shape = self._get("Global", "image_shape")
        is_shape = isinstance(shape, list) and len(shape) == 3 and all(isinstance(side, int) for side in shape)
        size = (shape[1], shape[2]) if is_shape else None  # the schema says what is wrong with another one
        facts = self._spec()
        if facts is None and size is None:
            raise ConfigError(
                f"Global.image_shape: missing; give the size of the images for the model, [3, H, W], or the {_OPS} of "
                f"each data set"
            )
        facts = facts or ModelSpec("", "", 0, 0, None, image_size=0, crop_pct=1.0, paper="")
        normalize = self._normalization()
        return [normalize if normalize and "NormalizeImage" in op else op for op in transform_ops(facts, size, train)]

    def _spec(self) -> Optional[ModelSpec]:
        given = getattr(self._supplied.model, "spec", None)
        if isinstance(given, ModelSpec):
            return given
        name = self._get("Arch", "name")
        return spec(name) if name in list_models() else None

    def _normalization(self) -> Optional[Dict[str, Any]]:
        """Return the first NormalizeImage that the recipe has: training, evaluation and inference must agree."""
        places = [("DataLoader", side, "dataset", _OPS) for side in ("Train", "Eval")]
        for place in (*places, ("Infer", "transforms")):
            operations = self._get(*place)
            for op in operations if isinstance(operations, list) else []:
                if isinstance(op, dict) and "NormalizeImage" in op:
                    return op
        return None

    def _get(self, *path: Any) -> Any:
        """Return the value at a path, None if there is none."""
        node, reached = descend(self._tree, path)
        return plain(node) if reached == path else None

    def _fill(self, path: Path, value: Any) -> None:
        """Set a value that the recipe leaves out, and note it."""
        if self._get(*path) is None:
            self._set(path, value, _DEFAULT)
            self.notes.append(f"{dotted(path)} is not in the recipe: {value}")

    def _set(self, path: Path, value: Any, origin: str) -> None:
        self._tree = set_at(self._tree, path, from_values({"value": value}, origin).value["value"])
