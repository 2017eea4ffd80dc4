"""Predictions from an exported model."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import Any, Callable, Generator, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.data.transforms import Compose, build_transforms
from ppcls.errors import ConfigError, DataError
from ppcls.inference import description, inputs
from ppcls.inference.backends import label, open_backend
from ppcls.inference.backends.devices import Device
from ppcls.inference.choices import TTA
from ppcls.inference.pipeline import Answer, Pipeline
from ppcls.inference.tta import augmented, averaged
from ppcls.registry import import_components
from ppcls.registry.checks import require_choice, require_int
from ppcls.registry.provenance import require_imported
from ppcls.utils.environment import MAX_THREADS
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path


class BasePredictor:
    """Classifies images, whatever runs the model.

    Attributes:
        pipeline: from images to answers.
        backend: the runtime, "paddle", "onnx" or "openvino".
        device: where the model computes, "cpu", "gpu:0" or another GPU.
        precision: in what it computes, "float32", "float16", "bfloat16" or "int8".
        backend_label: these three and, where they were chosen by a measurement, its result; for the log.
        names_are_labels: whether an export's classes have no names, and are called by their labels in the list.
    """

    pipeline: Pipeline
    backend: str
    device: str
    precision: str
    backend_label: str
    names_are_labels: bool = False

    def predict(self, images: Union[inputs.Image, Sequence[inputs.Image]]) -> List[Answer]:
        """Classify images.

        Args:
            images: a path, a folder, a pattern (``photos/**/*.jpg``), a URL, encoded bytes, a file opened in binary
                mode, an array (RGB [H, W, 3], RGBA or grayscale, uint8), a Pillow image, or a list of these.

        Returns:
            One dict per image, in order: class_ids, scores, file_name, label_names. A multi-label model gives all
            classes that reach their thresholds, maybe none. For an image that cannot be read: file_name and error.

        Raises:
            DataError: a path does not exist; nothing was predicted.
        """
        return list(self.stream(inputs.collect(images)))

    def stream(self, sources: Iterable[inputs.Image]) -> Generator[Answer, None, None]:
        """Yield the answers one by one; for more images than fit into memory.

        Args:
            sources: any iterable, also a generator, of what ``predict`` takes. It is read ahead by two batches. Arrays
                and Pillow images are copied, so the caller may change them afterwards. A path that does not exist gives
                an answer with an error.
        """
        return self.pipeline.answers(inputs.collect_lazily(sources))

    def prepare(self, source: inputs.Image) -> np.ndarray:
        """Return one preprocessed image, without the batch axis; to make batches yourself.

        With test-time augmentation it is all views of the image, [views, ...], which ``run`` averages.

        May be called by several threads at the same time.

        Raises:
            DataError: the image cannot be used, or there are several.
        """
        return self.pipeline.prepare(inputs.expand_one(source, "image"))

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return probabilities [B, K] of a batch of preprocessed images; in one thread at a time."""
        return self.pipeline.run(batch)

    def embed(self, images: Union[inputs.Image, Sequence[inputs.Image]]) -> np.ndarray:
        """Return the features of images, [N, num_features] float32, one row per image.

        The row of an image that cannot be read is NaN, and the log says why.

        Args:
            images: what ``predict`` takes.

        Raises:
            ConfigError: the model gives no features.
            DataError: a path does not exist, or no image can be read.
        """
        return feature_array(self.features(inputs.collect(images)))

    def features(
        self, sources: Iterable[inputs.Image]
    ) -> Generator[Tuple[str, Union[np.ndarray, DataError]], None, None]:
        """Yield each image's name with its features [num_features] float32, or with its error.

        Args:
            sources: what ``stream`` takes.

        Raises:
            ConfigError: the model gives no features.
        """
        run = self._feature_run_of_views()
        return replace(self.pipeline, run=run).outputs(inputs.collect_lazily(sources))

    def answers_and_features(
        self, sources: Iterable[inputs.Image]
    ) -> Generator[Tuple[Answer, Optional[np.ndarray]], None, None]:
        """Yield each image's answer with its features, None for an image that cannot be used; it is decoded once.

        Args:
            sources: what ``stream`` takes.

        Raises:
            ConfigError: the model gives no features.
        """
        feature_run = self._feature_run_of_views()
        widths: List[int] = []

        def run_both(batch: np.ndarray) -> np.ndarray:
            probabilities = self.pipeline.run(batch)
            widths[:] = [probabilities.shape[1]]
            return np.concatenate([probabilities, feature_run(batch)], axis=1)

        both = replace(self.pipeline, run=run_both)
        with contextlib.closing(both.outputs(inputs.collect_lazily(sources))) as outputs:
            for name, values in outputs:
                if isinstance(values, DataError):
                    yield self.pipeline.answer(name, values), None
                else:
                    yield self.pipeline.answer(name, values[: widths[0]]), values[widths[0] :]

    def _feature_run_of_views(self) -> Callable[[np.ndarray], np.ndarray]:
        run = self.feature_run()
        return averaged(run) if self.pipeline.views > 1 else run

    def feature_run(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function from a batch of preprocessed images to features [B, num_features] float32.

        Raises:
            ConfigError: the model gives no features.
        """
        raise ConfigError(f"{type(self).__name__} gives no features")


class Predictor(BasePredictor):
    """Runs an exported model, with the preprocessing that was exported with it.

    Attributes:
        description: the export's description.
        backend: the runtime, "paddle", "onnx" or "openvino".
        device: where the model computes, "cpu", "gpu:0" or another GPU.
        precision: in what it computes, "float32", "float16", "bfloat16" or "int8".
        backend_label: these three and, where they were chosen by a measurement, its result; for the log.
        pipeline: from images to answers.

    Args:
        path: the exported model: its folder, or an ONNX file.
        backend: "paddle", "onnx", "openvino", or "auto" for the fastest that the export and this machine have.
        threads: CPU threads of the model; None for OMP_NUM_THREADS, by default all cores.
        batch_size: images that go through the model together.
        topk: classes in an answer, or all where there are fewer; None takes what was exported. Not for models whose
            answers depend on thresholds.
        decode_workers: threads that preprocess images while the model runs; 0 for none, None for one per core.
        device: "cpu", "gpu", one of several as "gpu:1", or "auto" for a GPU where the backend can use one.
        imports: files or modules that register transforms of your own, see ``ppcls.import_components``.
        precision: "float32"; "bfloat16" for the backend openvino on processors that compute in it; "auto" for bfloat16
            there if the answers stay near those in float32. None for that of the export.
        tta: test-time augmentation: "flip" averages the probabilities of the image and its mirror image, "crops" those
            of the centre and the four corners.

    Raises:
        DataError: there is no export, it is damaged, or it has no model for this backend.
        ConfigError: an argument is invalid, or the export's own transforms are not imported.
        MachineError: the backend is not installed, or cannot use the device or the precision.
    """

    def __init__(
        self,
        path: Union[str, os.PathLike[str]],
        backend: str = "auto",
        threads: Optional[int] = None,
        batch_size: int = 32,
        topk: Optional[int] = None,
        decode_workers: Optional[int] = None,
        device: str = "auto",
        imports: Sequence[str] = (),
        precision: Optional[str] = None,
        tta: str = "none",
    ) -> None:
        require_choice("tta", tta, TTA)
        for target in imports:
            import_components(target)
        if threads is not None:
            require_int("threads", threads, 1, MAX_THREADS)
        if topk is not None:
            require_int("topk", topk, 1)
        require_int("batch_size", batch_size, 1)
        machine = (device, tuple(imports), precision)
        self._arguments = (path, backend, threads, batch_size, topk, decode_workers, *machine, tta)
        self.description = description.read(user_path(path))
        self.names_are_labels = self.description.names_are_labels
        postprocess = self.description.postprocess
        postprocess = postprocess if topk is None else postprocess.with_topk(topk)
        self._backend = open_backend(self.description, backend, threads, Device.parse(device), precision, batch_size)
        self.backend, self.device = self._backend.name, self._backend.device
        self.precision, self.backend_label = self._backend.precision, label(self._backend)
        pipeline = Pipeline(
            transforms=self._transforms(),
            run=self._backend.run,
            postprocess=postprocess,
            batch_size=batch_size,
            decode_workers=decode_workers,
            input_shape=self.description.input_shape,
        )
        self.pipeline = augmented(pipeline, tta)

    def __reduce__(self) -> Tuple[Any, ...]:
        """Pickle the arguments: the export is opened again where the predictor is unpickled."""
        path, *others = self._arguments
        return type(self), (str(user_path(path).resolve()), *others)

    def _transforms(self) -> Compose:
        require_imported(self.description.imports, str(self.description.path))
        try:
            return build_transforms(self.description.transform_ops)
        except ConfigError as error:
            where = f"{self.description.path}: PreProcess.transform_ops"
            raise DataError(f"{where}: {error}; export the model again") from None

    def feature_run(self) -> Callable[[np.ndarray], np.ndarray]:
        """Raise a ConfigError: an export gives probabilities only."""
        raise ConfigError(
            f"{self.description.path}: an exported model gives probabilities only; for features, give the run's folder "
            f"or the checkpoint that it was made from"
        )


def feature_array(features: Iterable[Tuple[str, Union[np.ndarray, DataError]]]) -> np.ndarray:
    """Collect what ``BasePredictor.features`` yields in an array [N, num_features] float32; errors give rows of NaN.

    Raises:
        DataError: no image can be read.
    """
    rows: List[Optional[np.ndarray]] = []
    errors = []
    for name, values in features:
        if isinstance(values, DataError):
            errors.append(f"{name}: {values}")
            get_logger().error(errors[-1])
        rows.append(None if isinstance(values, DataError) else values)
    first = next((row for row in rows if row is not None), None)
    if first is None:
        raise DataError(f"none of the {len(rows)} images can be read; the first: {errors[0]}")
    return np.stack([np.full_like(first, np.nan) if row is None else row for row in rows])
