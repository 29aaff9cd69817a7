"""Measurements, as ratios in one run against peers: `python -m benchmarks --help`."""
