"""The one decorator of compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile on first call, keep the machine code on disk beside the source, and release the GIL.

    Where the source's folder is read-only, numba keeps the code under ``NUMBA_CACHE_DIR``. An image
    that is built on one kind of processor and run on another needs ``NUMBA_CPU_NAME=generic`` in
    both, or every cold start compiles again.
    """
    return cast("Function", njit(cache=True, nogil=True)(function))
