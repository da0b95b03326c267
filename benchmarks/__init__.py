"""Comparisons with what people would use instead, on the same machine in the same run: `python -m benchmarks`."""
