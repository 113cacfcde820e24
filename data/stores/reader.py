"""What a store read, in the form that the caller works with: Arrow, pandas, polars or `BarSeries`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from data.bars import BarSeries
from data.stores.rows import MICRO
from execution.timeframes import Timeframe


class Reader:
    """Bars of one timeframe, read anew by each ``to_…``; sorted by symbol and start.

    The columns are ``symbol, start, end, open, high, low, close, volume, known_at``; times are UTC.

    Raises
    ------
    BarStoreError, DatabaseUnavailableError
        By each ``to_…``, if the store cannot be read.
    """

    def __init__(self, load: Callable[[], pa.Table], timeframe: Timeframe) -> None:
        self._load = load
        self.timeframe = timeframe

    def to_arrow(self) -> pa.Table:
        """Return an Arrow table; `symbol` is dictionary-encoded."""
        return self._load()

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas frame; `symbol` is categorical."""
        frame: pd.DataFrame = self._load().to_pandas(split_blocks=True, self_destruct=True)
        return frame

    def to_polars(self) -> pl.DataFrame:
        """Return a polars frame; `symbol` is categorical."""
        frame = pl.from_arrow(self._load())
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 - for the type checker: a table gives a frame
        return frame

    def to_series(self) -> dict[str, BarSeries]:
        """Return the bars by symbol, for engine and gateway; symbols without bars are left out."""
        table = self._load()
        if not table.num_rows:
            return {}
        names = table["symbol"].unify_dictionaries()
        symbols = names.chunk(0).dictionary.to_pylist()
        codes = np.concatenate([chunk.indices.to_numpy() for chunk in names.chunks])
        arrays = [
            table[field.name.removesuffix("_ns")].cast(pa.int64()).to_numpy() * MICRO
            if field.name.endswith("_ns")
            else table[field.name].to_numpy()
            for field in fields(BarSeries)[2:]
        ]
        edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
        return {
            symbols[codes[i]]: BarSeries(symbols[codes[i]], self.timeframe, *(array[i:j] for array in arrays))
            for i, j in pairwise(edges)
        }
