"""The camera's store: a segment's state is the directory it lies in."""
