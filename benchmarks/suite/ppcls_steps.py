"""Steps of this project's models, the same as those of ``ppcls benchmark``."""

from typing import Any, Callable, Dict, Tuple


def prepare(given: Dict[str, Any]) -> None:
    """Import what building needs."""
    from ppcls.utils import environment

    environment.import_paddle()
    import ppcls.engine.speed  # noqa: F401


def build(given: Dict[str, Any]) -> Tuple[Callable[[], None], Dict[str, Any]]:
    """Return a step, and facts: versions, operators, and the multiply-adds of an image where they are asked for."""
    import paddle

    from ppcls.arch import ops
    from ppcls.arch.macs import count_macs
    from ppcls.engine import speed
    from ppcls.weights import create_model

    size = given["size"]
    options = speed.SpeedOptions(
        given["model"],
        given["batch"],
        (size, size),
        amp=given["dtype"] == "bfloat16",
        device="cpu",
        arguments=given.get("arguments"),
    )
    facts: Dict[str, Any] = {"version": f"PaddlePaddle {paddle.__version__}", "operators": ops.describe()}
    if given.get("macs"):
        facts["macs"] = count_macs(create_model(given["model"], **(given.get("arguments") or {})), (3, size, size))[
            "total"
        ]
    return speed.build_step(options, given["mode"]), facts
