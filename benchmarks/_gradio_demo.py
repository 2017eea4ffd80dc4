"""The page that Gradio makes of an exported model, for ``page_load.py``: a photo in, five classes out.

python benchmarks/_gradio_demo.py MODEL PORT
"""

from __future__ import annotations

import sys
from typing import Dict

import gradio
import numpy as np

from ppcls.inference import Predictor, description, examples
from ppcls.utils.paths import user_path


def main() -> None:
    """Serve until killed."""
    model, port = sys.argv[1:]
    predictor = Predictor(model)
    described = description.read(user_path(model))
    pictures = [[str(described.folder / record["file"])] for record in described.values.get(examples.KEY, [])]

    def classify(image: np.ndarray) -> Dict[str, float]:
        (answer,) = predictor.predict(image)
        return dict(zip(answer["label_names"], answer["scores"]))

    gradio.Interface(
        classify,
        gradio.Image(),
        gradio.Label(num_top_classes=5),
        examples=pictures or None,
        cache_examples=False,
        title="Classify photos",
    ).launch(server_name="127.0.0.1", server_port=int(port), quiet=True)


main()
