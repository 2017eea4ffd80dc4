"""The families, one file per family."""
