"""What a run leaves on disk: checkpoints, when they are written, and how a run continues from them."""
