"""The contracts file: what is offered beyond a stock for every symbol of the bars.

YAML holds a list of entries, CSV a header and a line for each, with the fields of `ContractEntry`. Values
are read as text and parsed there, so that no reader's idea of ``010`` or of a date slips in::

    - {symbol: ESZ8, sec_type: FUT, underlying: ES, expiry: 20181221, multiplier: 50, exchange: CME,
       tick: 0.25, zone: US/Central, hours: 1700-1600, liquid_hours: 0830-1600, name: E-mini S&P 500}
    - {symbol: EURUSD, sec_type: CASH}
    - {symbol: SPY, sec_type: ETF, primary_exchange: ARCA, bands: "0:0.0001 1:0.01"}
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import yaml
from pydantic import ValidationError

from backtesting.gateway.errors import ContractFileError
from backtesting.gateway.market.contract_entry import ContractEntry, complaint
from backtesting.gateway.market.contracts import Listing
from execution.errors import InvalidOrderError
from execution.models import Instrument
from execution.numbers import format_decimal

_LARGEST_FILE: Final = 8 << 20


def load_contracts(path: Path) -> tuple[Listing, ...]:
    """Read a contracts file, YAML or (by its suffix) CSV.

    Parameters
    ----------
    path
        The file, UTF-8.

    Raises
    ------
    ContractFileError
        If it cannot be read, or an entry has an unknown or unfitting field, or repeats another. The message
        names file, line, entry and remedy.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ContractFileError(f"{path}: larger than {_LARGEST_FILE >> 20} MiB; declare fewer contracts")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ContractFileError(
            f"{path}: cannot be read ({' '.join(str(error).split())}); give a contracts file in UTF-8"
        ) from error
    rows = _csv_rows(path, text) if path.suffix.lower() == ".csv" else _yaml_rows(path, text)
    listings: list[Listing] = []
    seen: dict[object, str] = {}
    for line, row in rows:
        where = f"{path}:{line}: contract {row.get('symbol', '') or '(without a symbol)'}"
        one = _listing(where, row)
        for key, what in _identities(one):
            if key in seen:
                raise ContractFileError(f"{where}: {what} is {seen[key]}'s already; remove one of the two")
            seen[key] = one.symbol
        listings.append(one)
    return tuple(listings)


def _identities(one: Instrument) -> list[tuple[object, str]]:
    strike = "" if one.strike is None else format_decimal(one.strike)
    terms = (one.underlying or one.symbol, one.security_type, one.expiry, strike, one.right)
    keys: list[tuple[object, str]] = [
        (one.symbol, "its symbol"),
        ((*terms, one.exchange, one.currency, one.trading_class, one.multiplier), "its description"),
    ]
    return keys + ([(one.con_id, "its con_id")] if one.con_id else [])


def _listing(where: str, row: dict[str, str]) -> Listing:
    unknown = [key for key in row if key not in ContractEntry.model_fields]
    if unknown:
        close = difflib.get_close_matches(unknown[0], ContractEntry.model_fields, n=1)
        known = ", ".join(ContractEntry.model_fields)
        hint = f"did you mean {close[0]!r}?" if close else f"use {known}"
        raise ContractFileError(f"{where}: unknown key {unknown[0]!r}; {hint}")
    try:
        return ContractEntry.model_validate({key: value for key, value in row.items() if value}).listing()
    except ValidationError as error:
        raise ContractFileError(f"{where}: {complaint(error)}") from error
    except InvalidOrderError as error:
        raise ContractFileError(f"{where}: {error}") from error


def _csv_rows(path: Path, text: str) -> Iterable[tuple[int, dict[str, str]]]:
    reader = csv.reader(text.splitlines(), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if "symbol" not in header or len(set(header)) != len(header):
            raise ContractFileError(f"{path}:1: the header must name each column once, symbol among them")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise ContractFileError(
                    f"{path}:{reader.line_num}: {len(cells)} cells under {len(header)} columns; align them"
                )
            yield reader.line_num, dict(zip(header, map(str.strip, cells), strict=True))
    except csv.Error as error:
        raise ContractFileError(f"{path}:{reader.line_num}: no CSV ({error}); check the quotes") from error


def _yaml_rows(path: Path, text: str) -> Iterable[tuple[int, dict[str, str]]]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ContractFileError(
            f"{path}:{line}: not valid YAML ({error.problem}); check indents and quotes"
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ContractFileError(f"{path}: cannot be read as YAML ({reason}); correct it") from error
    if not isinstance(root, yaml.SequenceNode):
        raise ContractFileError(f"{path}: expected a list of contracts, each starting with '- symbol:'")
    for node in root.value:
        yield node.start_mark.line + 1, _yaml_entry(path, node)


def _yaml_entry(path: Path, node: yaml.Node) -> dict[str, str]:
    where = f"{path}:{node.start_mark.line + 1}"
    if not isinstance(node, yaml.MappingNode):
        raise ContractFileError(f"{where}: expected keys such as 'symbol:'; found something else")
    row: dict[str, str] = {}
    for key, value in _pairs(node):
        if not isinstance(value, yaml.ScalarNode):
            raise ContractFileError(
                f"{where}: {key} must be a single value; write bands as '0:0.0001 1:0.01'"
            )
        if key in row:
            raise ContractFileError(f"{where}: {key!r} is given twice; keep one of the two")
        row[key] = "" if value.value in ("~", "null") else value.value
    return row


def _pairs(node: yaml.MappingNode) -> Sequence[tuple[str, yaml.Node]]:
    return [(str(key.value), value) for key, value in node.value]
