"""Put batches of bars, as a server sent them, in order without sorting rows.

A table that was loaded by symbol and is kept in chunks of time comes back as long sorted runs, a few for each
symbol. Only the runs are sorted, as slices that copy nothing. Where rows come back in no order at all, they
are sorted by row.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.stores.rows import SCHEMA

_SHORTEST_MEAN_RUN = 64


def in_order(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """Return batches of `SCHEMA`, each sorted or not, as one table sorted by symbol and start."""
    runs: list[tuple[str, int, int, pa.RecordBatch]] = []
    total = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        total += batch.num_rows
        names = batch.column(0).dictionary.to_pylist()
        codes = batch.column(0).indices.to_numpy()
        starts = batch.column(1).cast(pa.int64()).to_numpy()
        breaks = np.flatnonzero((codes[1:] != codes[:-1]) | (starts[1:] <= starts[:-1])) + 1
        edges = [0, *breaks.tolist(), batch.num_rows]
        if len(edges) * _SHORTEST_MEAN_RUN > batch.num_rows + _SHORTEST_MEAN_RUN * _SHORTEST_MEAN_RUN:
            runs.append(("", 0, -1, batch))  # no order in it: the overlap below sorts by row
            continue
        runs += [
            (names[codes[i]], int(starts[i]), int(starts[j - 1]), batch.slice(i, j - i))
            for i, j in pairwise(edges)
        ]
    if not runs:
        return SCHEMA.empty_table()
    ordered = sorted(runs, key=lambda run: run[:2])
    table = pa.Table.from_batches([run[3] for run in ordered], SCHEMA).unify_dictionaries()
    apart = all(
        before[0] and before[0] <= after[0] and (before[0] < after[0] or before[2] < after[1])
        for before, after in pairwise(ordered)
    )
    if apart and ordered[-1][0]:
        return table
    return _sorted_by_row(table)


def _sorted_by_row(table: pa.Table) -> pa.Table:
    names = table["symbol"].chunk(0).dictionary
    rank = np.empty(len(names), np.int32)
    rank[pc.sort_indices(names).to_numpy()] = np.arange(len(names), dtype=np.int32)
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in table["symbol"].chunks])
    starts = table["start"].cast(pa.int64()).to_numpy()
    return table.take(pa.array(np.lexsort((starts, rank[codes]))))
