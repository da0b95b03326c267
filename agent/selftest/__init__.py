"""The technician's self-test: one measured line for each thing a camera needs, with its limit, then a verdict."""
