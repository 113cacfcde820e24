"""Paper or live: real money needs four agreements, and a paper run must not point at a live broker.

The four: the profile is ``live``; the environment says ``ALPHEC_LIVE=I_UNDERSTAND``; the port is in the set
configured as live; the account id has the live prefix. Anything short of all four is refused with the state
of each. The toggle alone makes nothing live, so it does not stop a paper run.

Settings can only widen what counts as live: a paper run never touches the ports on which TWS and IB Gateway
serve real accounts, nor an account whose id does not begin like a paper account's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from infrastructure.errors import LiveInterlockError

if TYPE_CHECKING:
    from infrastructure.settings import Settings

TOGGLE = "ALPHEC_LIVE"
CONSENT = "I_UNDERSTAND"

USUAL_LIVE_PORTS: Final = frozenset({7496, 4001})
"""Where TWS and IB Gateway serve real accounts unless somebody moved them."""

PAPER_PREFIX: Final = "D"
"""What the ids of IBKR's paper accounts begin with, advisors' included (DU, DF, DI)."""

_ACCOUNT = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)
"""What an account's id may be: it becomes the name of a folder, and it comes over a wire."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One condition for trading real money, and how it stands."""

    name: str
    holds: bool
    state: str


def agreements(
    *,
    profile: str,
    toggle: str | None,
    port: int,
    account: str | None,
    live_ports: Collection[int],
    prefix: str,
) -> tuple[Agreement, ...]:
    """Return the four agreements for the given circumstances."""
    ports = ", ".join(map(str, sorted(live_ports))) or "none"
    return (
        Agreement("profile", profile == "live", f"profile is {profile}"),
        Agreement("toggle", toggle == CONSENT, f"{TOGGLE} is {'' if toggle == CONSENT else 'not '}{CONSENT}"),
        Agreement("port", port in live_ports, f"port {port}, live ports are {ports}"),
        Agreement(
            "account",
            _begins(account, prefix),
            f"account is {account or 'not known'}, live accounts begin with {prefix}",
        ),
    )


def authorise(
    *,
    profile: str,
    toggle: str | None,
    port: int,
    account: str | None,
    live_ports: Collection[int],
    prefix: str,
) -> bool:
    """Decide whether this is live trading.

    Parameters
    ----------
    profile
        ``demo``, ``paper`` or ``live``.
    toggle
        Value of ``ALPHEC_LIVE``, None if unset.
    port
        Port of TWS or the gateway.
    account
        Account id, as configured and again as the broker reports it; None while unknown.
    live_ports, prefix
        What marks a live broker.

    Returns
    -------
    bool
        True if all four agreements hold; False for a demo or paper run that touches nothing live.

    Raises
    ------
    LiveInterlockError
        In every other case.
    """
    found = agreements(
        profile=profile, toggle=toggle, port=port, account=account, live_ports=live_ports, prefix=prefix
    )
    holds = {agreement.name: agreement.holds for agreement in found}
    if all(holds.values()):
        return True
    listing = "; ".join(f"{'yes' if a.holds else 'NO'}: {a.state}" for a in found)
    if holds["profile"]:
        raise LiveInterlockError(f"live trading refused, it needs four agreements ({listing})")
    is_live = {
        "port": holds["port"] or port in USUAL_LIVE_PORTS,
        "account": holds["account"] or bool(account and not _begins(account, PAPER_PREFIX)),
    }
    if any(is_live.values()):
        what = " and ".join(name for name, live in is_live.items() if live)
        raise LiveInterlockError(
            f"profile {profile} must not touch a live broker, but its {what} is live ({listing}; ports "
            f"{', '.join(map(str, sorted(USUAL_LIVE_PORTS)))} are always live, and paper accounts begin with "
            f"{PAPER_PREFIX})"
        )
    return False


def authorise_settings(settings: Settings, environ: Mapping[str, str], *, account: str | None = None) -> bool:
    """Decide as `authorise` does from settings; `account` is what the broker reports, once it has."""
    return authorise(
        profile=settings.profile,
        toggle=environ.get(TOGGLE),
        port=settings.data.ib.port,
        account=account or settings.broker.account,
        live_ports=settings.broker.live_ports,
        prefix=settings.broker.live_account_prefix,
    )


def _begins(account: str | None, prefix: str) -> bool:
    return account is not None and account.startswith(prefix) and _ACCOUNT.fullmatch(account) is not None
