"""A task's exception, made fit to travel: its pickle or a stand-in, and its traceback as text."""

from __future__ import annotations

import traceback
from typing import Any

from taskflow.data.serialization import decode_blob, encode
from taskflow.model.errors import PicklableStandIn
from taskflow.tracebacks import cut


def encode_error(error: BaseException) -> tuple[Any, str]:
    """An exception as (pickle, text of its traceback without the runtime's own frames)."""
    cut(error)
    text = "".join(traceback.format_exception(error))
    bare = error.with_traceback(None)
    for stand_in in (bare, _Revivable(bare), PicklableStandIn(f"{_type_name(error)}: {_text(error)}")):
        try:
            blob = encode(stand_in, "exception").blob()
            rebuilt = decode_blob(blob)
            if stand_in is bare and _text(rebuilt) != _text(error):
                continue  # its class makes something else of its own args
        except Exception:  # noqa: BLE001, S112  the next one says less, but travels
            continue
        return blob, text
    return encode(PicklableStandIn(_type_name(error)), "exception").blob(), text


class _Revivable:
    """Travels in place of an exception that cannot: the same class, arguments and attributes as far as they travel."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> Any:
        error = self._error
        args = tuple([_sendable(value) for value in error.args])
        state = {name: _sendable(value) for name, value in error.__dict__.items()}
        return _revive, (type(error), args, state)


def _revive(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def _sendable(value: Any) -> Any:
    """The value, or its text if it cannot be pickled."""
    try:
        decode_blob(encode(value, "").blob())
    except Exception:  # noqa: BLE001  any failure means the same here
        return _text(value)
    return value


def _type_name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  a class of the user may do anything here
        return f"<{type(value).__qualname__}>"
