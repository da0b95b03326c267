"""Bytes in, bytes out. No file, socket, clock or thread; writer and verifier share this room and nothing else."""
