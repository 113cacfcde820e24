from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from infrastructure.errors import LiveInterlockError
from infrastructure.interlock import authorise, authorise_settings
from infrastructure.settings import load_settings

PROFILES = ("demo", "paper", "live")
TOGGLES = (None, "", "yes", "i_understand", "I_UNDERSTAND")
PORTS = (7497, 4002, 7496)
ACCOUNTS = (None, "", "DU123", "U123")
TABLE = list(product(PROFILES, TOGGLES, PORTS, ACCOUNTS))


def decide(profile: Any, toggle: Any, port: Any, account: Any) -> Any:
    return authorise(
        profile=profile, toggle=toggle, port=port, account=account, live_ports=(7496, 4001), prefix="U"
    )


def outcome(case: Any) -> Any:
    try:
        return decide(*case)
    except LiveInterlockError:
        return "refused"


def test_exactly_one_combination_goes_live() -> None:
    assert [case for case in TABLE if outcome(case) is True] == [("live", "I_UNDERSTAND", 7496, "U123")]


def test_every_other_live_profile_is_refused_and_no_paper_run_touches_a_live_port_or_account() -> None:
    for case in TABLE:
        profile, _, port, account = case
        touches = port == 7496 or account == "U123"
        if profile == "live" and case != ("live", "I_UNDERSTAND", 7496, "U123"):
            assert outcome(case) == "refused", case
        elif profile != "live":
            assert outcome(case) == ("refused" if touches else False), case


def test_a_refusal_lists_each_agreement_and_its_state() -> None:
    with pytest.raises(LiveInterlockError) as caught:
        decide("live", None, 7497, "U123")
    for part in ("yes: profile is live", "NO: ALPHEC_LIVE is not", "NO: port 7497", "yes: account is U123"):
        assert part in str(caught.value)


def test_the_account_that_the_broker_reports_decides() -> None:
    settings = load_settings("paper")
    assert authorise_settings(settings, {}) is False
    with pytest.raises(LiveInterlockError, match="its account is live"):
        authorise_settings(settings, {}, account="U1")


@pytest.mark.parametrize("port", [7496, 4001])
def test_no_setting_makes_the_usual_live_ports_fit_for_paper(port: int) -> None:
    with pytest.raises(LiveInterlockError, match="its port is live"):
        authorise_settings(
            load_settings(
                "paper", overrides={"broker.live_ports": "5000", "data.ib.port": str(port)}, environ={}
            ),
            {},
        )


@pytest.mark.parametrize("account", ["U1234567", "F1234567", "I1234567", "D/../../elsewhere", "D\n"])
def test_a_paper_run_trades_only_in_an_account_that_begins_like_a_paper_account(account: str) -> None:
    settings = load_settings("paper", overrides={"broker.live_account_prefix": "ZZ"})
    assert authorise_settings(settings, {}, account="DF1234567") is False  # pragma: allowlist secret
    with pytest.raises(LiveInterlockError, match="its account is live"):
        authorise_settings(settings, {}, account=account)


def test_an_account_that_is_no_name_goes_live_neither() -> None:
    assert outcome(("live", "I_UNDERSTAND", 7496, "U123")) is True
    assert outcome(("live", "I_UNDERSTAND", 7496, "U/../123")) == "refused"
