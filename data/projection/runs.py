"""Runs and their trading sessions: begun, ended as they ended, or cut off by what followed."""

from __future__ import annotations

from collections.abc import Callable

from data.projection.book import OPEN
from data.projection.bulk import Part
from data.projection.place import Place, Row, amount
from data.schema import RunRow, TradingSessionRow

_OF_THE_RUN = ("profile", "account", "strategy", "timeframe", "config_hash", "git_sha")
CUT_OFF = "INTERRUPTED"
"""State of a session that nothing ended before the next began."""


class Runs:
    """The runs and sessions that a batch begins or ends."""

    def __init__(self, place: Place) -> None:
        self.kinds: dict[str, Callable[[Row], None]] = {
            "run_started": self._run_started,
            "run_finished": self._run_finished,
            "reconciling": self._reconciling,
            "session_closed": self._session_closed,
        }
        self._place = place
        self._runs: dict[str, Row] = {}
        self._sessions: dict[tuple[str, int], Row] = {}

    def take(self) -> list[Part]:
        """Return what changed since the last call."""
        parts = [
            Part.of(RunRow, list(self._runs.values()), replaces=True),
            Part.of(TradingSessionRow, list(self._sessions.values()), replaces=True),
        ]
        self._runs, self._sessions = {}, {}
        return parts

    def _run_started(self, body: Row) -> None:
        book, symbols = self._place.book, body.get("symbols")
        self.end_session(CUT_OFF, self._place.time_ns)
        book.run = {
            "run_id": book.run_id,
            "journal_id": self._place.journal_id,
            "started_at": book.run["started_at"] if book.run else self._place.time_ns,
            "status": OPEN,
            "symbols": ",".join(symbols) if symbols is not None else None,
            "initial_cash": amount(body.get("initial_cash")),
            **{name: body.get(name) for name in _OF_THE_RUN},
        }
        self._runs[book.run_id] = book.run
        self._begin_session()

    def _run_finished(self, body: Row) -> None:
        book = self._place.book
        if book.run:
            book.run["status"] = str(body["status"])
            self._runs[book.run_id] = book.run
        self.end_session(str(body["status"]), self._place.time_ns)

    def _reconciling(self, _body: Row) -> None:
        if self._place.book.run and self._place.book.trading_session is None:  # the same run, begun again
            self._begin_session()

    def _session_closed(self, _body: Row) -> None:
        self.end_session("CLOSED", self._place.time_ns)

    def _begin_session(self) -> None:
        run = self._place.book.run
        assert run is not None  # noqa: S101  # its callers have looked
        row = {
            "run_id": run["run_id"],
            "seq": self._place.seq,
            "started_at": self._place.time_ns,
            "ended_at": None,
            "status": OPEN,
            **{name: run[name] for name in ("profile", "account", "git_sha")},
        }
        self._place.book.trading_session = row
        self._sessions[row["run_id"], row["seq"]] = row

    def end_session(self, status: str, time_ns: int) -> None:
        """End the session under way, if there is one."""
        row, self._place.book.trading_session = self._place.book.trading_session, None
        if row is not None:
            self._sessions[row["run_id"], row["seq"]] = row | {"status": status, "ended_at": time_ns}
