"""The form of a ledger's file: its columns, and Parquet of which the same rows always give the same bytes.

Parquet is written from explicit schemas with fixed options and no pandas metadata. Decimals have scale 10: a
number that needs more places is refused, never rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from backtesting.run_errors import LedgerContentError

DECIMAL = pa.decimal128(38, 10)
MOMENT = pa.timestamp("ns", tz="UTC")
TEXT = pa.string()
Row = dict[str, Any]


def _schema(optional: frozenset[str], **columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=name in optional) for name, kind in columns.items()])


SCHEMAS: Mapping[str, pa.Schema] = {
    "orders": _schema(
        frozenset(("strategy", "limit_price", "stop_price", "average_fill_price", "reason")),
        client_order_id=TEXT,
        strategy=TEXT,
        symbol=TEXT,
        side=TEXT,
        order_type=TEXT,
        quantity=DECIMAL,
        limit_price=DECIMAL,
        stop_price=DECIMAL,
        time_in_force=TEXT,
        submitted_time=MOMENT,
        status=TEXT,
        filled_quantity=DECIMAL,
        average_fill_price=DECIMAL,
        reason=TEXT,
    ),
    "fills": _schema(
        frozenset(("client_order_id", "commission")),
        fill_id=TEXT,
        client_order_id=TEXT,
        symbol=TEXT,
        side=TEXT,
        quantity=DECIMAL,
        price=DECIMAL,
        time=MOMENT,
        commission=DECIMAL,
    ),
    "positions": _schema(
        frozenset(),
        time=MOMENT,
        symbol=TEXT,
        quantity=DECIMAL,
        average_cost=DECIMAL,
        market_value=DECIMAL,
        unrealized_pnl=DECIMAL,
    ),
    "equity": _schema(
        frozenset(),
        time=MOMENT,
        cash=DECIMAL,
        equity=DECIMAL,
        unrealized_pnl=DECIMAL,
        realized_pnl=DECIMAL,
        fees=DECIMAL,
        gross_exposure=DECIMAL,
    ),
    "signals": _schema(
        frozenset(("strength", "target")),
        signal_id=TEXT,
        strategy=TEXT,
        name=TEXT,
        symbol=TEXT,
        time=MOMENT,
        direction=TEXT,
        strength=pa.float64(),
        target=DECIMAL,
        features=TEXT,
        orders=pa.list_(pa.field("element", TEXT, nullable=False)),
    ),
}
"""Columns of each file; times are UTC nanoseconds, `features` is JSON, `orders` are client order ids."""

NAMES = tuple(SCHEMAS)
"""The tables, in the order in which they are written and hashed."""


def table_of(name: str, rows: list[Row]) -> pa.Table:
    """Return rows as the table of this name.

    Raises
    ------
    LedgerContentError
        If a number does not fit its column, or a value is missing that every row must have.
    """
    schema = SCHEMAS[name]
    arrays = []
    for column in schema:
        try:
            arrays.append(pa.array([row[column.name] for row in rows], type=column.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise LedgerContentError(
                f"{name}.{column.name}: {error}; prices and sizes may have ten decimal places"
            ) from error
        if arrays[-1].null_count and not column.nullable:
            raise LedgerContentError(f"{name}.{column.name}: a row has no value; every row must have one")
    return pa.Table.from_arrays(arrays, schema=schema)


def parquet_of(table: pa.Table) -> bytes:
    """Return the bytes of a table's file."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        version="2.6",
        compression="zstd",
        compression_level=3,
        use_dictionary=True,
        write_statistics=True,
        row_group_size=1 << 20,
        data_page_version="1.0",
        store_schema=False,
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read_table(folder: Path, name: str) -> pa.Table:
    """Read one file of a run's folder.

    Raises
    ------
    LedgerContentError
        If it is missing, is not Parquet, or has other columns.
    """
    path = folder / f"{name}.parquet"
    try:
        table = pq.read_table(pa.BufferReader(path.read_bytes()))
    except FileNotFoundError as error:
        if name == "signals" and (folder / "orders.parquet").exists():
            return SCHEMAS[name].empty_table()  # a run of a version that kept no signals
        raise LedgerContentError(f"{path} is missing: the run did not get as far as its ledgers") from error
    except pa.ArrowInvalid as error:
        raise LedgerContentError(f"{path} is not a Parquet file: {error}") from error
    if not table.schema.equals(SCHEMAS[name]):
        raise LedgerContentError(f"{path} has other columns than this version writes: {table.schema.names}")
    return table
