"""This package beside other engines that run GPT-2 on a CPU: `python -m benchmarks.engines`."""
