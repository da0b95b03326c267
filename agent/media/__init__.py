"""Encoded pictures and sound: encoders, the pre-event ring, and the cutting of parts."""
