"""What could only go wrong is refused before it is recorded or sent."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from execution.errors import InvalidOrderError, NotReadyError
from execution.models import OrderRequest, OrderType, Side, TimeInForce
from execution.testing import START

if TYPE_CHECKING:
    from execution.executor import IBKROrderExecutor

    from ..conftest import MakeRig, ScriptedBroker


def buy(name: str, **more: Any) -> OrderRequest:
    return OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY, client_order_id=name, **more)


@pytest.mark.parametrize("before", [pd.Timedelta(0), pd.Timedelta(seconds=1), pd.Timedelta(days=300)])
async def test_an_order_good_till_a_time_that_has_passed(
    rig: MakeRig, broker: ScriptedBroker, before: pd.Timedelta
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    with pytest.raises(InvalidOrderError, match="good_till"):
        await r.executor.submit_order(buy("o-1", time_in_force=TimeInForce.GTD, good_till=START - before))
    assert broker.placed == []
    assert "order_submitted" not in r.kinds()


async def test_an_order_under_a_name_that_orders_of_others_are_kept_by(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    with pytest.raises(InvalidOrderError, match="external-"):
        await r.executor.submit_order(buy("external-1003"))
    assert broker.placed == []


async def test_an_order_from_within_the_risk_check_of_another_would_get_the_same_number(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    made: list[IBKROrderExecutor] = []

    def hedge(request: OrderRequest) -> bool:
        if request.client_order_id == "o-1":
            made[0].submit(buy("o-hedge"))
        return True

    r = rig(risk_check_callback=hedge)
    made.append(r.executor)
    await r.executor.ensure_ready()
    with pytest.raises(NotReadyError, match="being judged"):
        await r.executor.submit_order(buy("o-1"))
    assert broker.placed == []
    await r.executor.submit_order(buy("o-hedge"))
    assert len(broker.placed) == 1
