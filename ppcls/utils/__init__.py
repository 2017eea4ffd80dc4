"""Logging and the machine: processes, threads, ranks."""
