"""Facts survive the journal as they came."""

from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from execution.orders.evidence import (
    CommissionSeen,
    CompletedOrderSeen,
    ErrorSeen,
    Evidence,
    ExecutionSeen,
    OpenOrderSeen,
    OrderStatusSeen,
    from_body,
    to_body,
)

_n = st.integers(-1, 2**40)
_t = st.text(max_size=12)
_d = st.decimals(-(10**9), 10**9, places=4)
_facts = st.one_of(
    st.builds(OpenOrderSeen, _n, _n, _n, _t, _t, _t, _t, _d),
    st.builds(OrderStatusSeen, _n, _n, _n, _t, _d, _d, _t),
    st.builds(ExecutionSeen, _t, _n, _n, _n, _t, _t, _t, _t, _d, _d, _n),
    st.builds(CommissionSeen, _t, _d, _t),
    st.builds(CompletedOrderSeen, _n, _t, _t, _d, _t),
    st.builds(ErrorSeen, _n, _n, _t),
)


@given(_facts)
def test_every_fact_is_rebuilt_from_its_json(fact: Evidence) -> None:
    assert from_body(json.loads(json.dumps(to_body(fact)))) == fact


def test_a_fact_recorded_before_a_field_existed_is_still_read() -> None:
    body = to_body(OrderStatusSeen(1, 1, 1, "Submitted", Decimal(0), Decimal(1)))
    del body["why_held"]
    assert from_body(body) == OrderStatusSeen(1, 1, 1, "Submitted", Decimal(0), Decimal(1))
