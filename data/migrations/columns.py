"""Column types as the migrations know them; a released migration keeps its meaning when the models change."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine


def Money() -> TypeEngine[Any]:  # noqa: N802  # stands for a type in lists of columns
    return sa.Text().with_variant(sa.Numeric(), "postgresql")


def UtcTime() -> TypeEngine[Any]:  # noqa: N802
    return sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")


def Document() -> TypeEngine[Any]:  # noqa: N802
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def Serial() -> TypeEngine[Any]:  # noqa: N802
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")
