"""Paper or live: real money needs four agreements, and a paper run must not point at a live broker.

The four: the profile is ``live``; the environment says ``ALPHEC_LIVE=I_UNDERSTAND``; the port is in the set
configured as live; the account id has the live prefix. Anything short of all four is refused with the state
of each. The toggle alone makes nothing live, so it does not stop a paper run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infrastructure.errors import LiveInterlockError

if TYPE_CHECKING:
    from infrastructure.settings import Settings

TOGGLE = "ALPHEC_LIVE"
CONSENT = "I_UNDERSTAND"


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
            bool(account) and str(account).startswith(prefix),
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
    if holds["port"] or holds["account"]:
        what = " and ".join(name for name in ("port", "account") if holds[name])
        raise LiveInterlockError(
            f"profile {profile} must not touch a live broker, but its {what} is live ({listing})"
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
