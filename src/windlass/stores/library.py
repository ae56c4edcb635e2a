"""The object store library's compiled part, without the Python around it, which imports `typing` and so costs a command 8 ms."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAME = "obstore._obstore"


def load() -> Any:
    """The module `obstore._obstore`. It can be loaded once in a process, so it stays where `import obstore` finds it."""
    # where there are threads, another one may be importing the library just now
    if "obstore" not in sys.modules and "threading" not in sys.modules:
        try:
            return _alone()
        except (ImportError, AttributeError):  # another layout than that of today
            sys.modules.pop(_NAME, None)
    from obstore import _obstore

    return _obstore


def _alone() -> Any:
    from importlib.machinery import PathFinder

    package = PathFinder.find_spec("obstore")
    spec = PathFinder.find_spec(_NAME, package.submodule_search_locations if package else [])
    if spec is None or spec.loader is None:
        raise ImportError(_NAME)
    module: Any = spec.loader.create_module(spec)
    module.__spec__ = spec
    spec.loader.exec_module(module)
    sys.modules[_NAME] = module
    return module
