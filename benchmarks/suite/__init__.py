"""The suites of ``benchmarks/run.py``."""
