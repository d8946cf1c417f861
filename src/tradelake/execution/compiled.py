"""The decorators of compiled functions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from numba import njit, types
from numba.core.caching import IndexDataCacheFile

Function = TypeVar("Function", bound=Callable[..., object])

_CODES: Final = {"int": "i8", "float": "f8", "bool": "b1", "None": "void"}
"""numba's names of types, by those of annotations."""
_NARROW = (types.int8, types.int32)
"""What rows of orders hold of numbers that functions take as integers."""


def compiled(function: Function) -> Function:
    """Compile on first call, keep the machine code on disk beside the source, and release the GIL.

    Where the source's folder is read-only, numba keeps the code under ``NUMBA_CACHE_DIR``. An image
    that is built on one kind of processor and run on another needs ``NUMBA_CPU_NAME=generic`` in
    both, or every cold start compiles again.

    The code is kept until any file of ``execution``, or one with compiled functions of
    ``backtest``, changes: it holds what it calls of other files, which numba by itself does not
    look at.
    """
    return cast("Function", _kept(njit(cache=True, nogil=True)(function)))


def lean(function: Function) -> Function:
    """Compile what makes no arrays and only passes on what it is given.

    As :func:`compiled`, but who holds an array is not counted: counting is atomic additions at
    every call for every array. The caller holds them until the call returns. Nor is the function
    compiled once more for each literal or narrow integer it is called with: flags go six calls
    down, and every one would double the code.
    """
    return _lean(function, inline=False)


def inlined(function: Function) -> Function:
    """As :func:`lean`, and part of who calls it: for what is on the way of every order.

    The compiler by itself calls what is longer than a few lines. A call of a dozen arguments, and
    memory read anew behind it, cost more than most of these functions do.
    """
    return _lean(function, inline=True)


def _lean(function: Function, *, inline: bool) -> Function:
    dispatcher = njit(cache=True, nogil=True, _nrt=False, forceinline=inline)(function)
    template = dispatcher.get_call_template

    def of_types(args: Any, kws: Any) -> Any:  # noqa: ANN401 - numba's own
        named = {name: _plain(kind) for name, kind in kws.items()}
        return template(tuple(_plain(kind) for kind in args), named)

    dispatcher.get_call_template = of_types
    return cast("Function", _kept(dispatcher))


def _plain(kind: Any) -> Any:  # noqa: ANN401 - numba's own
    """Return the one type that numbers of a kind are compiled for."""
    kind = types.unliteral(kind)
    return types.int64 if kind in _NARROW else kind


def ready(*functions: Callable[..., object]) -> None:
    """Compile what takes numbers and gives one, or load it, for what its annotations say.

    Parameters
    ----------
    functions : compiled functions
        Of ``int`` (8 bytes), ``float`` and ``bool``; they return one of these or None.
    """
    for function in functions:
        made = cast("Any", function)
        *taken, given = (_CODES[kind] for kind in made.py_func.__annotations__.values())
        made.compile(f"{given}({', '.join(taken)})")


class _Index(IndexDataCacheFile):  # type: ignore[misc]
    """numba's index of machine code, for processes that compile the same at the same time.

    numba writes the index before the code it names, and numbers code by what it finds: a second
    process may read old code under a new index, or one signature's under another's. Here code is
    written first, under a name made of its signature. On a full disk it is not kept, and runs all
    the same.
    """

    def save(self, key: Any, data: Any) -> None:  # noqa: ANN401 - numba's own
        name = self._data_name(int(hashlib.sha256(repr(key).encode()).hexdigest()[:12], 16))
        with suppress(OSError):
            self._save_data(name, data)
            self._save_index({**self._load_index(), key: name})


def _kept(dispatcher: Any) -> Any:  # noqa: ANN401 - numba's own
    """Let a function's code be kept until any source changes."""
    found = dispatcher._cache._cache_file  # noqa: SLF001 - there is no other way to say it
    index = _Index(found._cache_path, found._index_name[: -len(".nbi")], found._source_stamp)  # noqa: SLF001
    index._source_stamp = (found._source_stamp, sources())  # noqa: SLF001
    dispatcher._cache._cache_file = index  # noqa: SLF001
    return dispatcher


@cache
def sources() -> str:
    """Return a hash of everything that compiled code is made from, but users' own files."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for file in sorted((*here.glob("*.py"), *here.parent.joinpath("backtest").glob("*.py"))):
        text = file.read_bytes()
        if file.parent == here or b"execution.compiled import" in text:
            digest.update(text)
    return digest.hexdigest()[:16]
