"""tools/deb as a module, though its name is no module's."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

HOUSE = Path(__file__).resolve().parent.parent


def load_deb() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("deb", str(HOUSE / "tools" / "deb"))
    spec = importlib.util.spec_from_loader("deb", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    # dataclasses looks the module up.
    sys.modules["deb"] = module
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
        del sys.modules["deb"]
    return module
