"""Logging, paths and the machine: processes, threads, ranks, and how OpenCV is loaded."""
