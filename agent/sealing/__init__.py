"""Formats made durable, in order: encrypt, log, sign, one write, one fdatasync."""
