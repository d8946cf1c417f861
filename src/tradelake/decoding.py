"""Decoders and conversions of msgspec, safe to ask for in any thread.

msgspec works out what it knows of a type when the type is first decoded, and keeps that on the
class before it is complete. A thread that decodes the same type meanwhile reads the incomplete
part, and the process ends with a segmentation fault (msgspec 0.22). Here all types are worked out
under one lock; what is complete is only read. That is why msgspec's own ``decode``, ``convert``
and ``Decoder`` are named in no other module; encoding needs nothing of the kind.

Decoders are msgspec's own, made once for a type and safe to share, so that decoding costs what it
costs there. Where every call counts, keep the decoder::

    _DECODER: Final = msgpack_decoder(list[Batch])
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar, overload

import msgspec
from msgspec.json import Decoder as JsonDecoder
from msgspec.msgpack import Decoder as MsgpackDecoder

__all__ = ["JsonDecoder", "MsgpackDecoder", "convert", "json_decoder", "msgpack_decoder"]

T = TypeVar("T")

_LOCK: Final = threading.Lock()
_JSON: Final[dict[Any, JsonDecoder[Any]]] = {}
_MSGPACK: Final[dict[Any, MsgpackDecoder[Any]]] = {}
_WORKED_OUT: Final[dict[Any, Any]] = {}
"""The type that was worked out, by a type equal to it: ``Page[int]`` may be another object the
next time, of which msgspec knows nothing."""


@overload
def json_decoder(kind: type[T]) -> JsonDecoder[T]: ...
@overload
def json_decoder(kind: Any) -> JsonDecoder[Any]: ...  # noqa: ANN401 - unions are no types
def json_decoder(kind: Any) -> JsonDecoder[Any]:
    """Return the decoder of JSON to a type, the same one at every call.

    Parameters
    ----------
    kind : type
        Any type that msgspec supports.

    Raises
    ------
    TypeError
        msgspec does not support the type.

    Examples
    --------
    >>> json_decoder(dict[str, float]).decode('{"BTC/USD": 1}')
    {'BTC/USD': 1.0}
    """
    decoder = _JSON.get(kind)
    if decoder is None:
        with _LOCK:
            decoder = _JSON.setdefault(kind, JsonDecoder(kind))
    return decoder


@overload
def msgpack_decoder(kind: type[T]) -> MsgpackDecoder[T]: ...
@overload
def msgpack_decoder(kind: Any) -> MsgpackDecoder[Any]: ...  # noqa: ANN401 - unions are no types
def msgpack_decoder(kind: Any) -> MsgpackDecoder[Any]:
    """Return the decoder of MessagePack to a type; all else as :func:`json_decoder`.

    >>> msgpack_decoder(list[int]).decode(bytes([0x92, 1, 2]))
    [1, 2]
    """
    decoder = _MSGPACK.get(kind)
    if decoder is None:
        with _LOCK:
            decoder = _MSGPACK.setdefault(kind, MsgpackDecoder(kind))
    return decoder


@overload
def convert(
    value: object,
    kind: type[T],
    *,
    strict: bool = True,
    dec_hook: Callable[[type, Any], Any] | None = None,
) -> T: ...
@overload
def convert(
    value: object,
    kind: Any,  # noqa: ANN401 - unions are no types
    *,
    strict: bool = True,
    dec_hook: Callable[[type, Any], Any] | None = None,
) -> Any: ...  # noqa: ANN401
def convert(
    value: object,
    kind: Any,
    *,
    strict: bool = True,
    dec_hook: Callable[[type, Any], Any] | None = None,
) -> Any:
    """Convert plain values (maps, lists, numbers, text) to a type.

    Parameters
    ----------
    value : object
        What a decoder without a type would return.
    kind : type
        Any type that msgspec supports.
    strict : bool
        False: text is read as a number, a truth value or nothing where the type asks for one.
    dec_hook : callable
        Called with (type, value) for a type that msgspec does not know.

    Raises
    ------
    msgspec.ValidationError
        The value is not of that form.
    TypeError
        msgspec does not support the type.

    Examples
    --------
    >>> convert(["1", "2"], tuple[int, int], strict=False)
    (1, 2)
    """
    known = _WORKED_OUT.get(kind)
    if known is None:
        with _LOCK:
            MsgpackDecoder(kind)  # the format that allows every type a value can have
            known = _WORKED_OUT.setdefault(kind, kind)
    return msgspec.convert(value, known, strict=strict, dec_hook=dec_hook)
