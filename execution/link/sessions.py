"""How a session is made: with the receivers and terms of its connection, and only for the same accounts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from execution.ibkr.contract_book import ContractBook
from execution.ibkr.record import InteractionRecord
from execution.ibkr.session import IBSession
from execution.link.connection_errors import AccountChangedError
from execution.models import Bar
from execution.orders.codes import CodeTable
from execution.orders.evidence import Evidence


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """What every session of a connection is made with; see `IBKRConnectionManager`."""

    timeout: float
    patience: float
    throttled: bool
    time_zone: str


@dataclass(frozen=True, slots=True)
class Receivers:
    """Where a session brings what it hears."""

    on_evidence: Callable[[Evidence], None]
    on_data: Callable[[], None]
    on_bar: Callable[[Bar], None]
    on_read_only: Callable[[str], None]
    on_lost: Callable[[IBSession, str], None]


class Sessions:
    """Makes the sessions of a connection.

    Parameters
    ----------
    make
        Makes a session that is not open yet.
    terms
        What it is made with.
    receivers
        Where it brings what it hears.
    contracts, codes, record
        Our instruments, what TWS codes mean, and where requests are written down.

    Attributes
    ----------
    accounts
        Those of the first session; a login that no longer offers them is refused.
    """

    def __init__(
        self,
        make: Callable[..., IBSession],
        terms: SessionTerms,
        receivers: Receivers,
        contracts: ContractBook,
        codes: CodeTable,
        record: InteractionRecord,
    ) -> None:
        self.accounts: frozenset[str] = frozenset()
        self._make = make
        self._terms = terms
        self._to = receivers
        self._contracts = contracts
        self._codes = codes
        self._record = record

    async def open(self, host: str, port: int, client_id: int, first_id: int) -> IBSession:
        """Open a session whose order ids begin no lower than `first_id`.

        Raises
        ------
        AccountChangedError
            If the login no longer offers the accounts of the first session; the session is closed then.
        NotConnectedError
            If there is no gateway, or it refuses.
        """
        to, terms = self._to, self._terms
        session: IBSession = self._make(
            on_evidence=to.on_evidence,
            on_data=to.on_data,
            on_bar=to.on_bar,
            on_disconnected=lambda why: to.on_lost(session, why),
            on_read_only=to.on_read_only,
            on_note=self._record.note,
            contracts=self._contracts,
            classify_code=self._codes.classify,
            throttled=terms.throttled,
            time_zone=terms.time_zone,
        )
        session.timeout, session.patience = terms.timeout, terms.patience
        await session.open(host, port, client_id, first_id=first_id)
        offered = frozenset(session.accounts)
        missing = self.accounts - offered
        if missing:
            session.close()
            raise AccountChangedError(
                f"the login at {host}:{port} offers {', '.join(sorted(offered))} and no longer "
                f"{', '.join(sorted(missing))}; the session was closed. Log in as before, or start anew"
            )
        self.accounts = self.accounts or offered
        return session
