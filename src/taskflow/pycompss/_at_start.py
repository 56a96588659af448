"""Imported at the start of every interpreter (`_taskflow_pycompss.pth`), so it must cost nothing and need nothing.

Installed as the top-level module ``_taskflow_pycompss``: importing anything of the package would cost more.
"""

import sys


class LazyFinder:
    """Finds ``pycompss`` where no other finder does: it is the last of all."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        """Called for every module that nothing else has found."""
        if name != "pycompss":
            return None
        from taskflow.finder import find

        return find()


sys.meta_path.append(LazyFinder)
