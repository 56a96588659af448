"""Tasks whose body numba compiles, in the executor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from taskflow.model.errors import ArgumentError, TaskflowError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: What numba can make of a function.
KINDS = ("jit", "njit", "generated_jit", "vectorize", "guvectorize", "stencil", "cfunc")


class Compiled:
    """Compiles a function with numba when an executor loads it: the program itself needs no numba.

    ``kind`` is one of `KINDS`, ``flags`` are keywords of numba's decorator of that name, ``signature`` the types that
    vectorize, guvectorize and cfunc compile for, and ``declaration`` the layout of guvectorize.
    """

    def __init__(self, kind: str, flags: Mapping[str, Any], signature: Any, declaration: str | None) -> None:
        self.kind = kind
        self.flags = dict(flags)
        self.signature = signature
        self.declaration = declaration

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The compiled function. Raises TaskflowError if this numba, or the lack of one, makes that impossible."""
        try:
            import numba
        except ImportError as error:
            raise TaskflowError(
                f"task {function.__qualname__} is to be compiled by numba, which cannot be imported by "
                f"{sys.executable} ({error}); install it there, or take numba= out of @task"
            ) from error
        compiler = getattr(numba, self.kind, None)
        if compiler is None:
            raise TaskflowError(
                f"task {function.__qualname__}: numba {numba.__version__} has no {self.kind}; "
                f"use another one of {', '.join(kind for kind in KINDS if kind != self.kind)}"
            )
        types = [part for part in (self.signature, self.declaration) if part is not None]
        compiled = compiler(*types, **self.flags)(function)
        return compiled.ctypes if self.kind == "cfunc" else compiled  # type: ignore[no-any-return]


def parse_numba(settings: Mapping[str, Any], where: str) -> Compiled:
    """Understand the arguments ``numba*`` of ``@task``. Raises ArgumentError."""
    numba: Any = settings["numba"]
    flags: Any = settings.get("numba_flags") or {}
    signature, declaration = settings.get("numba_signature"), settings.get("numba_declaration")
    if not isinstance(flags, dict):
        raise ArgumentError(f"{where}: numba_flags is a dictionary, not {flags!r}")
    if isinstance(numba, dict):
        flags = {**numba, **flags}
        numba = "jit"
    kind = "jit" if numba is True else numba
    if kind not in KINDS:
        raise ArgumentError(
            f"{where}: numba is True, a dictionary of flags, or one of {', '.join(KINDS)}; not {numba!r}"
        )
    if kind in ("cfunc", "guvectorize") and signature is None:
        raise ArgumentError(f"{where}: numba={kind!r} needs numba_signature")
    if kind == "guvectorize" and declaration is None:
        raise ArgumentError(f"{where}: numba='guvectorize' needs numba_declaration")
    return Compiled(kind, flags, signature, declaration if kind == "guvectorize" else None)
