"""Where the code runs: in the main program with a session, in a task, or neither."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from taskflow import runtime
from taskflow.node.executor import in_executor

if TYPE_CHECKING:
    from collections.abc import Iterator


class Context:
    """Tells where the code that asks is running."""

    _loading = 0

    def in_pycompss(self) -> bool:
        """Whether calls of task functions are tasks, or the code is in one."""
        return self.in_master() or self.in_worker()

    def in_master(self) -> bool:
        """Whether this is the main program, in a session."""
        return runtime.session is not None and not in_executor()

    def in_worker(self) -> bool:
        """Whether this is the code of a task."""
        return in_executor()

    def is_nesting_enabled(self) -> bool:
        """Whether a task called in a task is a task."""
        return bool(getattr(runtime.session, "nesting", False))

    def is_loading(self) -> bool:
        """Whether the code runs in a `loading_context`."""
        return self._loading > 0

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """The code of the block loads modules of the program."""
        self._loading += 1
        try:
            yield
        finally:
            self._loading -= 1


CONTEXT = Context()
loading_context = CONTEXT.loading

__all__ = ["CONTEXT", "Context", "loading_context"]
