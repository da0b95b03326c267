"""bodycam-agent: the firmware agent of a body camera, its desk-sized station, and the tools to check its evidence."""

__version__ = "0.1.0"
