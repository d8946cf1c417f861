"""Headers: compiled code reads and writes the arrays and numbers of a tuple through one address."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from tradelake.execution.compiled import compiled
from tradelake.execution.handles import Handle, Header, at

ROW = np.dtype([("count", np.int64), ("share", np.float64)])


class Inner(NamedTuple):
    cube: np.ndarray


class Outer(NamedTuple):
    rows: np.ndarray
    table: np.ndarray
    rate: float
    on: bool
    lot: int
    inner: Inner


INNER = Handle("TestInner", {"cube": (np.int64, 3)})
OUTER = Handle(
    "TestOuter",
    {
        "rows": (ROW, 1),
        "table": (np.float64, 2),
        "rate": float,
        "on": bool,
        "lot": int,
        "inner": INNER,
    },
)
outer_at = at(OUTER)


@compiled
def read(address: int) -> tuple[int, float, float, bool, int, int]:
    """Read one of everything, and write a row."""
    outer = outer_at(address)
    outer.rows[1].count += outer.lot
    return (
        outer.rows.shape[0],
        outer.table[1, 2],
        outer.rate,
        outer.on,
        outer.lot,
        outer.inner.cube[1, 0, 1],
    )


def values(rows: int = 3, *, on: bool = True) -> Outer:
    cube = np.arange(8).reshape(2, 2, 2)
    return Outer(np.zeros(rows, ROW), np.arange(6.0).reshape(2, 3), -0.25, on, 7, Inner(cube))


def test_compiled_code_reads_what_the_tuple_holds_and_writes_its_rows() -> None:
    given = values()
    assert read(Header(OUTER, given).address) == (3, 5.0, -0.25, True, 7, 5)
    assert given.rows["count"].tolist() == [0, 7, 0]


def test_an_address_stays_when_the_header_holds_other_arrays() -> None:
    header = Header(OUTER, values())
    address, longer = header.address, values(9, on=False)
    header.hold(longer)
    assert header.address == address
    assert read(address)[:4] == (9, 5.0, -0.25, False)
    assert longer.rows["count"][1] == 7


@pytest.mark.parametrize(
    "table",
    [np.zeros((2, 3), np.float32), np.zeros((3, 2)).T, np.zeros(6), np.zeros((4, 6))[::2, ::2]],
    ids=["another type", "another order", "fewer dimensions", "with holes"],
)
def test_an_array_laid_out_differently_is_refused_by_name(table: np.ndarray) -> None:
    with pytest.raises(TypeError, match="table: expected a C-contiguous array of 2 dimensions"):
        Header(OUTER, values()._replace(table=table))
