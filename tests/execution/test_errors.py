"""Errors: a code, an instruction, and the built-in that callers expect."""

from __future__ import annotations

import inspect

import pytest

from execution import errors

CLASSES: list[type] = [
    c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__
]


def test_codes_are_unique_and_every_class_says_what_it_means() -> None:
    codes: list[str] = []
    for c in CLASSES:
        assert issubclass(c, errors.ExecutionError)
        codes.append(c.code)
        assert c.__doc__
        assert "." in c.__doc__
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.InvalidOrderError, ValueError),
        (errors.DuplicateOrderError, ValueError),
        (errors.UnknownOrderError, ValueError),
        (errors.NotConnectedError, ConnectionError),
        (errors.NotReadyError, ConnectionError),
        (errors.BrokerUnavailableError, ConnectionError),
        (errors.AcknowledgementTimeoutError, TimeoutError),
    ],
)
def test_plain_except_clauses_work(kind: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)


def test_context_is_carried() -> None:
    assert errors.ExecutionError("x", order=1).context == {"order": 1}
    assert errors.RiskCheckError("x", rule="R").rule == "R"
