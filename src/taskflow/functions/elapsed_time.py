"""How long functions take."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class TimeIt:
    """Decorator, with parentheses: the function returns ``[value, seconds]``.

    Below ``@task`` the seconds are those of the execution, and the future stands for the list. Above ``@task`` they are
    those of the call, and the list has the future and the seconds; `compss_wait_on` of it gives the value and these.
    """

    def __call__(self, function: Callable[..., Any]) -> Callable[..., list[Any]]:
        """The function with its time."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> list[Any]:
            start = time.perf_counter()
            value = function(*args, **kwargs)
            return [value, time.perf_counter() - start]

        return timed


timeit = TimeIt
