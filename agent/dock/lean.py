"""`requests` without the library by which it guesses in which charset a text is. That library takes 3.5 MiB of a camera
that has 512, and it works for `Response.text` alone, which is asked for nowhere here: answers are bytes.

`requests` goes on without it (`requests.compat`), and says so in a warning, which is kept to itself.
"""

from __future__ import annotations

import importlib
import sys
import warnings

_GUESSERS = ("chardet", "charset_normalizer")


def load() -> None:
    """Import `requests`. Whoever else wants one of the guessers in this process can have it afterwards."""
    hidden = [name for name in _GUESSERS if name not in sys.modules]
    modules: dict[str, object] = sys.modules  # type: ignore[assignment]
    # None in its place is how a module is said not to be there (importlib's documentation of sys.modules).
    modules.update(dict.fromkeys(hidden))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("requests")
    finally:
        for name in hidden:
            del modules[name]
