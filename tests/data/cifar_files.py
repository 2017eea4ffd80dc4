"""The files of CIFAR-10, made small."""

import pickle

import numpy as np


def cifar_records(count, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3072), dtype=np.uint8), rng.integers(0, 2, count)


def write_cifar10(folder, binary):
    """Write six small files of the official layout; return pixels [N, 32, 32, 3] and labels of the training ones."""
    folder = folder / ("cifar-10-batches-bin" if binary else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    parts = []
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        pixels, labels = cifar_records(4, number)
        parts.append((pixels, labels))
        if binary:
            records = np.concatenate([labels[:, None].astype(np.uint8), pixels], axis=1)
            (folder / f"{name}.bin").write_bytes(records.tobytes())
        else:
            content = {b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"x"}
            (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    names = [b"plane", b"car"]
    if binary:
        (folder / "batches.meta.txt").write_bytes(b"\n".join(names) + b"\n\n")
    else:
        (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}, protocol=2))
    pixels = np.concatenate([p for p, _ in parts[:5]]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return folder, pixels, np.concatenate([labels for _, labels in parts[:5]])
