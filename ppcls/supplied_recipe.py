"""Complete a recipe with the model and data sets that are given to ``ppcls.train``."""

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

_RGB = 3
_BATCH_SIZE = 32
_DEFAULT = "default of ppcls.train"
_OPS = "transform_ops"


class RecipeCompletion:
    """Writes supplied parts into a recipe, and fills in missing settings that training needs.

    Args:
        supplied: the model and the data sets.

    Attributes:
        notes: the settings that were filled in, for the log.
    """

    def __init__(self, supplied: Supplied) -> None:
        self._supplied = supplied
        self._tree = Node({}, "")
        self._problems: List[str] = []
        self.notes: List[str] = []

    def __call__(self, tree: Node) -> Tuple[Node, List[str]]:
        """Return the completed recipe, and the problems that remain."""
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
        if self._get("Stages") is None:  # stages may add the sections
            self._require_sections()
        return self._tree, self._problems

    def _require_sections(self) -> None:
        """Note missing sections that training needs, and the schema does not require."""
        needed = {
            ("Global", "epochs"): "",
            ("Optimizer",): "",
            ("DataLoader", "Train"): "; or give train_dataset=...",
        }
        for path, advice in needed.items():
            if self._get(*path) is None:
                self._problems.append(f"{dotted(path)}: missing; training needs it{advice}")

    def _take_model(self, model: Any) -> None:
        named = self._get("Arch", "name")
        kind = type(model)
        arch = {"name": SUPPLIED_MODEL, "class_name": f"{kind.__module__}.{kind.__qualname__}"}
        class_num = self._get("Arch", "class_num") or getattr(model, "class_num", None)
        if class_num is not None:
            arch["class_num"] = class_num
        self._set(("Arch",), arch, "ppcls.train(model=...)")
        replaced = f", in place of {named}" if named else ""
        self.notes.append(f"the model is a {kind.__name__} that was given in Python{replaced}")

    def _take_dataset(self, side: str, dataset: Dataset) -> None:
        section = ("DataLoader", side, "dataset")
        origin = f"ppcls.train({side.lower()}_dataset=...)"
        given = [key for key in (_OPS, "batch_transform_ops") if self._get(*section, key) is not None]
        # These keys keep their lines in the file, which messages name.
        node = descend(self._tree, section)[0] if self._get(*section) is not None else Node({}, origin)
        operations = {key: node.value[key] for key in given}
        name = from_values({"name": SUPPLIED_DATASET}, origin).value
        self._tree = set_at(self._tree, section, Node({**name, **operations}, origin))
        self.notes.append(f"DataLoader.{side}: {len(dataset)} images that were given in Python")
        if _OPS not in given:
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
        """Without evaluation data, switch evaluation off, and fill in the transforms of inference."""
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
        size = (shape[1], shape[2]) if is_shape else None  # the schema reports any other value
        model_spec = self._spec()
        if model_spec is None and size is None:
            raise ConfigError(
                f"Global.image_shape: missing; give the size of the model's images, [3, H, W], or the {_OPS} of each "
                f"data set"
            )
        model_spec = model_spec or ModelSpec("", "", 0, 0, None, image_size=0, crop_pct=1.0, paper="")
        normalize = self._normalization()
        if normalize is None and (self._get("Arch", "in_channels") or (shape[0] if is_shape else _RGB)) != _RGB:
            normalize = {"NormalizeImage": {"order": ""}}  # mean and std follow from the channels
        return [
            normalize if normalize and "NormalizeImage" in op else op for op in transform_ops(model_spec, size, train)
        ]

    def _spec(self) -> Optional[ModelSpec]:
        model_spec = getattr(self._supplied.model, "spec", None)
        if isinstance(model_spec, ModelSpec):
            return model_spec
        name = self._get("Arch", "name")
        return spec(name) if name in list_models() else None

    def _normalization(self) -> Optional[Dict[str, Any]]:
        """Return the first NormalizeImage of the recipe, which training, evaluation and inference share."""
        paths: List[Path] = [("DataLoader", side, "dataset", _OPS) for side in ("Train", "Eval")]
        for path in (*paths, ("Infer", "transforms")):
            operations = self._get(*path)
            for op in operations if isinstance(operations, list) else []:
                if isinstance(op, dict) and "NormalizeImage" in op:
                    return op
        return None

    def _get(self, *path: Any) -> Any:
        """Return the value at a path, None where there is none."""
        node, reached = descend(self._tree, path)
        return plain(node) if reached == path else None

    def _fill(self, path: Path, value: Any) -> None:
        """Set a value that the recipe leaves out, and note it."""
        if self._get(*path) is None:
            self._set(path, value, _DEFAULT)
            self.notes.append(f"{dotted(path)} is not in the recipe: {value}")

    def _set(self, path: Path, value: Any, origin: str) -> None:
        self._tree = set_at(self._tree, path, from_values({"value": value}, origin).value["value"])
