"""How old rows must be before they may be removed."""

from __future__ import annotations

import pytest

from data.errors import RetentionError
from data.schema.retention import RECORD, checked_age, retained


@pytest.mark.parametrize("table", sorted(RECORD))
def test_the_record_is_kept_for_seven_years_at_least(table: str) -> None:
    assert checked_age(table, "7 years") == "7 years"
    for age in ("6 years", "83 months", "2554 days"):
        with pytest.raises(RetentionError, match="less than the 7 years"):
            checked_age(table, age)


def test_other_series_may_be_removed_sooner_and_what_is_no_series_never() -> None:
    assert checked_age("risk_metrics", "30 days") == "30 days"
    with pytest.raises(RetentionError, match="instruments"):
        checked_age("instruments", "30 years")
    for age in ("7", "seven years", "0 years", "7 years; DROP TABLE fills"):
        with pytest.raises(RetentionError, match="is no age"):
            checked_age("risk_metrics", age)


def test_every_age_in_force_is_allowed() -> None:
    assert retained()["audit_events"] == "10 years"
