from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from infrastructure.errors import SecretError
from infrastructure.secrets import MASK, Redactor, resolve


def test_a_plain_value_is_itself() -> None:
    assert resolve("s3cret", "database.url") == "s3cret"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), (b"", "is empty"), (b"\xff", "cannot be read")]
)
def test_a_secret_file_that_gives_nothing_is_named(tmp_path: Path, content: Any, said: Any) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SecretError, match=said) as caught:
        resolve(f"file:{path}", "database.url")
    assert "database.url" in str(caught.value)


def test_keyring_references_are_looked_up_and_missing_ones_named() -> None:
    assert resolve("keyring:a/b/c", "k", lambda service, name: f"{service}|{name}") == "a/b|c"
    with pytest.raises(SecretError, match="keyring set fund db"):
        resolve("keyring:fund/db", "k", lambda _service, _name: None)
    with pytest.raises(SecretError, match="is not keyring:SERVICE/NAME"):
        resolve("keyring:fund", "k", lambda _service, _name: "x")


def test_secrets_are_masked_wherever_they_stand() -> None:
    redactor = Redactor()
    redactor.register("postgresql://user:p%40ss1@host/db")  # pragma: allowlist secret
    event = {
        "event": "failed for p@ss1",
        "list": ["p%40ss1", 1, None],
        "nested": {"p@ss1": Path("/x/p@ss1")},
        "amount": Decimal("1.5"),
    }
    shown = redactor(None, "info", event)
    assert "ss1" not in str(shown)
    assert shown["event"] == f"failed for {MASK}"
    assert shown["amount"] == Decimal("1.5")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u:s3c%2Fret@[::1/x",  # pragma: allowlist secret
        "postgresql+psycopg://u:s3c%2Fret@h:port/x",  # pragma: allowlist secret
        "postgresql+psycopg://u@h/x?connect_timeout=2&password=s3c%2Fret",
        "postgresql+psycopg://u@h/x?sslpassword=s3c%2Fret&a=b",
        "postgresql+psycopg://u:s3c%2Fret@h/x?application_name=me@home",  # pragma: allowlist secret
    ],
)
def test_the_password_of_a_url_is_masked_even_where_the_url_cannot_be_read(url: str) -> None:
    redactor = Redactor()
    redactor.register(url)
    assert redactor.mask("tried s3c%2Fret and s3c/ret") == f"tried {MASK} and {MASK}"


def test_texts_too_short_to_hide_are_left_alone() -> None:
    redactor = Redactor()
    redactor.register("abc")
    assert redactor.mask("abc") == "abc"
    assert redactor(None, "info", {"event": "abc"}) == {"event": "abc"}
