"""Arrays and numbers behind one pointer: how compiled functions are handed a run's memory.

A run's memory is ten arrays, its terms are twenty-six numbers. Handed over by value they cost more
than most of what is done with them, and numba compiles every call with all of it and counts who
holds each array. So Python writes a *header*, a row of cells with the arrays' addresses and shapes
and the numbers themselves, and compiled functions pass the address of that. Attributes read as
those of the tuple the header was made from: ``state.orders[order].status``.

Nobody counts: :class:`Header` keeps the arrays for as long as it lives, and Python puts others in
their place only between calls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
from llvmlite import ir
from numba import from_dtype
from numba.core import types
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, lower_getattr_generic, models, register_model
from numba.np import arrayobj

Rows: TypeAlias = np.ndarray[Any, Any]
Field: TypeAlias = Any
"""``int``, ``bool``, ``float``, another :class:`Handle`, or an array's (dtype, dimensions)."""

_WORD: Final = ir.IntType(64)
_NUMBERS: Final = {int: types.int64, bool: types.boolean, float: types.float64}


class Handle(types.Type):
    """The type of a header's address.

    Parameters
    ----------
    name : str
        What it is called in numba's messages.
    fields : mapping of str to Field
        What it holds, in order.
    """

    def __init__(self, name: str, fields: Mapping[str, Field]) -> None:
        self.kinds: dict[str, types.Type] = {field: _kind(what) for field, what in fields.items()}
        self.dtypes: dict[str, np.dtype[Any]] = {
            field: np.dtype(what[0]) for field, what in fields.items() if isinstance(what, tuple)
        }
        self.places: dict[str, int] = {}
        self.cells = 0
        for field, kind in self.kinds.items():
            self.places[field] = self.cells
            self.cells += 1 + (kind.ndim if isinstance(kind, types.Array) else 0)
        # The name is part of every symbol: a short one, and another where the fields differ.
        fields_hash = hashlib.sha256(repr(self.kinds).encode()).hexdigest()
        super().__init__(f"{name}_{fields_hash[:8]}")


def _kind(what: Field) -> types.Type:
    if isinstance(what, types.Type):
        return what
    if what in _NUMBERS:
        return _NUMBERS[what]
    dtype, dimensions = what
    return types.Array(from_dtype(np.dtype(dtype)), dimensions, "C")


class Header:
    """The cells compiled code reads of a tuple, and the arrays they point at.

    Parameters
    ----------
    kind : Handle
        What is read.
    values : object
        With an attribute for each field; arrays are C-contiguous, of the field's dtype.

    Attributes
    ----------
    address : int
        What a compiled function is given.
    """

    def __init__(self, kind: Handle, values: object) -> None:
        self._kind = kind
        self._cells = np.zeros(kind.cells, np.int64)
        self.address = int(self._cells.ctypes.data)
        self.hold(values)

    def hold(self, values: object) -> None:
        """Point at the arrays of other values; the address stays as it is."""
        kept: list[object] = []
        for name, kind in self._kind.kinds.items():
            place, value = self._kind.places[name], getattr(values, name)
            if isinstance(kind, types.Array):
                _check(name, self._kind.dtypes[name], kind.ndim, value)
                self._cells[place] = value.ctypes.data
                self._cells[place + 1 : place + 1 + kind.ndim] = value.shape
            elif isinstance(kind, Handle):
                value = Header(kind, value)
                self._cells[place] = value.address
            elif kind == types.float64:
                self._cells[place] = np.float64(value).view(np.int64)
            else:
                self._cells[place] = int(value)
            kept.append(value)
        self._kept = kept


def _check(name: str, dtype: np.dtype[Any], dimensions: int, array: Rows) -> None:
    """Refuse an array that is not laid out as compiled code will read it."""
    if array.dtype != dtype or array.ndim != dimensions or not array.flags.c_contiguous:
        raise TypeError(
            f"{name}: expected a C-contiguous array of {dimensions} dimensions of {dtype}; "
            f"found {array.ndim} dimensions of {array.dtype}"
        )


def at(kind: Handle) -> Any:  # noqa: ANN401 - a function of compiled code
    """Return the compiled function that takes an address for a handle of a kind."""

    @intrinsic  # type: ignore[untyped-decorator]
    def handle_at(_: Any, address: types.Type) -> Any:  # noqa: ANN401, ARG001 - numba's own
        def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:  # noqa: ANN401
            return builder.inttoptr(values[0], _WORD.as_pointer())

        return kind(types.int64), generate

    return handle_at


@register_model(Handle)
class _HandleModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Handle) -> None:  # noqa: ANN401
        super().__init__(manager, kind, _WORD.as_pointer())


@infer_getattr
class _HandleAttributes(AttributeTemplate):  # type: ignore[misc]
    key = Handle

    def generic_resolve(self, kind: Handle, name: str) -> types.Type | None:
        return kind.kinds.get(name)


@lower_getattr_generic(Handle)  # type: ignore[untyped-decorator]
def _read(context: Any, builder: Any, kind: Handle, header: Any, name: str) -> Any:  # noqa: ANN401
    held, place = kind.kinds[name], kind.places[name]
    cell = _cell(builder, header, place)
    if isinstance(held, types.Array):
        shape = [_cell(builder, header, place + 1 + axis) for axis in range(held.ndim)]
        return _array(context, builder, held, cell, shape)
    if isinstance(held, Handle):
        return builder.inttoptr(cell, _WORD.as_pointer())
    if held == types.float64:
        return builder.bitcast(cell, ir.DoubleType())
    if held == types.boolean:
        return builder.icmp_unsigned("!=", cell, _WORD(0))
    return cell


def _cell(builder: Any, header: Any, place: int) -> Any:  # noqa: ANN401
    """Read a cell; that it never changes while compiled code runs spares reading it again."""
    cell = builder.load(builder.gep(header, [_WORD(place)]))
    cell.set_metadata("invariant.load", builder.module.add_metadata([]))
    return cell


def _array(
    context: Any,  # noqa: ANN401
    builder: Any,  # noqa: ANN401
    kind: types.Array,
    address: Any,  # noqa: ANN401
    shape: list[Any],
) -> Any:  # noqa: ANN401
    """Make an array of compiled code that owns nothing."""
    item = context.get_data_type(kind.dtype)
    size = _WORD(context.get_abi_sizeof(item))
    strides = [size]
    for extent in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], extent))
    array = context.make_array(kind)(context, builder)
    data = builder.inttoptr(address, item.as_pointer())
    arrayobj.populate_array(
        array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None
    )
    return array._getvalue()  # noqa: SLF001 - numba's own way to read it
