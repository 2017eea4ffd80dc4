"""A callback for benchmarks: training ends after its first epoch, whatever ``Global.epochs`` says."""

import ppcls


@ppcls.CALLBACKS.register
class OneEpoch:
    """Ask training to end after the first epoch."""

    def on_epoch(self, run) -> None:
        """End the run; its evaluation and its checkpoint still follow."""
        run.stop_reason = "the benchmark needs one epoch"
