"""What the tests of metrics share: data, and ways to feed them that must all give the same."""

import json

import numpy as np

from ppcls.metric import build_metrics


def single(samples=211, classes=7, seed=0, decimals=1):
    """Return logits with ties, and labels. No label is the last class, and few predictions are the one before."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes - 1, samples)
    logits = rng.normal(size=(samples, classes)).astype("float32")
    logits[np.arange(samples), labels] += 1
    logits[:, -2] -= 4
    return logits.round(decimals), labels


def multi(samples=211, classes=7, seed=0, decimals=1):
    """Return logits with ties and targets [N, K], of which the last class has none."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((samples, classes)) < 0.3).astype("float32")
    targets[:, -1] = 0
    logits = (rng.normal(size=targets.shape) + 2 * targets - 1).astype("float32")
    return logits.round(decimals), targets


def measure(component, logits, targets, size=None):
    """Return (result, details) of one metric, from batches of ``size``."""
    metric = build_metrics([component])
    next(iter(metric.metrics.values())).check(logits.shape[1])
    feed(metric, logits, targets, size or len(logits))
    return metric.result(), next(iter(metric.details().values()), {})


def feed(metric, logits, targets, size):
    """Give a metric all samples, in batches."""
    for start in range(0, len(logits), size):
        metric.update(logits[start : start + size], targets[start : start + size])


def measure_in_every_way(component, logits, targets):
    """Return (result, details) of one metric; check that batches, order, resuming and processes change no bit of it."""
    expected = measure(component, logits, targets)
    assert measure(component, logits, targets, size=16) == expected
    assert measure(component, logits[::-1], targets[::-1], size=7) == expected
    name = next(iter(component))
    resumed, one, two, idle = (build_metrics([component]) for _ in range(4))
    feed(one, logits[:50], targets[:50], 20)
    resumed.load_state(json.loads(json.dumps(one.state())))
    feed(resumed, logits[50:], targets[50:], 64)
    feed(two, logits[50:], targets[50:], 9)
    merged = build_metrics([component])
    states = [json.loads(json.dumps(metric.state()[name])) for metric in (idle, two, one)]
    merged.load_state({name: merged.metrics[name].merge(states)})
    for metric in (resumed, merged):
        assert (metric.result(), next(iter(metric.details().values()), {})) == expected
    merged.reset()
    assert merged.state() == idle.state()
    assert merged.details() == {}
    return expected
