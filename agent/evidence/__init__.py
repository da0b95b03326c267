"""Read-only tools for any PC: verify, decrypt, export. Nothing here needs a camera or an audio library."""
