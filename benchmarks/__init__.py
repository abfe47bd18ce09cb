"""Benchmarks: each prints the medians and the ratio of both sides, measured in one run."""
