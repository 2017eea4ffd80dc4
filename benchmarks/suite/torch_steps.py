"""Steps of models in PyTorch, in eager mode: the same work as those of this project's models."""

from typing import Any, Callable, Dict, Tuple


def prepare(given: Dict[str, Any]) -> None:
    """Import what building needs."""
    import torch

    from benchmarks.suite import torch_models

    if "timm" in given["sources"]:
        import timm  # noqa: F401
    torch.set_num_threads(given["threads"])
    torch_models.torch.manual_seed(0)


def build(given: Dict[str, Any]) -> Tuple[Callable[[], Any], Dict[str, Any]]:
    """Return a step, and the version."""
    import torch

    from benchmarks.suite import torch_models

    model = torch_models.build(given["model"], given["size"], given["sources"])
    images = torch.rand(given["batch"], 3, given["size"], given["size"])
    labels = torch.randint(0, 10, (given["batch"],))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    half = given["dtype"] == "bfloat16"

    def train() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    def infer() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            model(images)

    model.train(given["mode"] == "train")
    return train if given["mode"] == "train" else infer, {"version": f"PyTorch {torch.__version__}"}
