"""Lens and microphone: each device is touched by one file, behind the protocols of `base`, with a twin beside it."""
