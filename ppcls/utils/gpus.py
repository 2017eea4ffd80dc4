"""GPUs that Paddle can use."""

from __future__ import annotations

from typing import Optional

import paddle


def problem(index: int = 0) -> Optional[str]:
    """Return why Paddle cannot use a GPU, None where it can.

    To be called before the device is set: Paddle ends the process when it is set to a GPU that is not there.

    Args:
        index: the GPU's number from 0.
    """
    if not paddle.device.is_compiled_with_cuda():
        return f"this PaddlePaddle {paddle.__version__} is built for CPUs; paddlepaddle-gpu is the other one"
    count = paddle.device.cuda.device_count()
    if index < count:
        return None
    available = f"only the GPUs 0 to {count - 1}" if count > 1 else "only GPU 0" if count else "no GPU"
    return (
        f"PaddlePaddle {paddle.__version__} finds {available} (see nvidia-smi, and CUDA_VISIBLE_DEVICES if it is set)"
    )
