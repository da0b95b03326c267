"""The uploader's side of the dock: when to send, what to send next, and how."""
