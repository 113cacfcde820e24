"""Where secrets come from, and how they are kept out of logs.

A secret setting may hold ``keyring:service/name`` (the operating system's keyring) or be given as a file by
``<VARIABLE>_FILE``. What it resolves to is registered with a `Redactor`, which masks it in every log line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from infrastructure.errors import SecretError

MASK = "********"
_BEFORE_HOST = (re.compile(r"://[^/?#:@]*:([^@]+)@"), re.compile(r"://[^/?#:@]*:([^/?#]+)@"))
"""The password up to the first @, as drivers read it, and up to the last, as it may be meant."""
_IN_QUERY = re.compile(r"[?&](?:password|passwd|sslpassword)=([^&#]+)")
_SHORTEST = 4
"""Shorter texts are not masked: replacing them everywhere would garble lines and hide nothing."""

KeyringLookup = Callable[[str, str], str | None]


def keyring_lookup(service: str, name: str) -> str | None:
    """Ask the operating system's keyring; raise `SecretError` if there is none."""
    import keyring  # loads its backends, and few configurations use it
    from keyring.errors import KeyringError

    try:
        return keyring.get_password(service, name)
    except KeyringError as error:
        raise SecretError(
            f"keyring:{service}/{name}: {error}; use <VARIABLE>_FILE on machines without one"
        ) from error


def resolve(value: str, key: str, lookup: KeyringLookup = keyring_lookup) -> str:
    """Return the secret behind a reference, or the value itself if it is none.

    Parameters
    ----------
    value
        ``file:PATH``, ``keyring:SERVICE/NAME`` or the secret.
    key
        The setting, for the error message.
    lookup
        Reads the keyring.

    Raises
    ------
    SecretError
        If the file or the keyring's entry does not exist or is empty.
    """
    if value.startswith("file:"):
        path = Path(value.removeprefix("file:"))
        try:
            secret = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SecretError(
                f"{key}: the secret's file {path} cannot be read ({type(error).__name__})"
            ) from error
        if not secret:
            raise SecretError(f"{key}: the secret's file {path} is empty; write the secret into it")
        return secret
    if value.startswith("keyring:"):
        service, slash, name = value.removeprefix("keyring:").rpartition("/")
        if not (service and slash and name):
            raise SecretError(f"{key}: {value!r} is not keyring:SERVICE/NAME")
        found = lookup(service, name)
        if not found:
            raise SecretError(
                f"{key}: the keyring has no {service}/{name}; run: keyring set {service} {name}"
            )
        return found
    return value


class Redactor:
    """Mask registered secrets anywhere in a log line.

    An instance is a structlog processor; `mask` serves other places that print text.
    """

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def register(self, secret: str) -> None:
        """Mask this text from now on; of a URL, the password in it as well."""
        texts = {secret, *(part for password in _passwords(secret) for part in (password, unquote(password)))}
        known = {*self._secrets, *(text for text in texts if len(text) >= _SHORTEST)}
        self._secrets = sorted(known, key=len, reverse=True)

    def mask(self, text: str) -> str:
        """Return the text with every registered secret replaced."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def clean(self, value: Any) -> Any:
        """Mask inside strings, mappings and sequences, and objects whose text shows a secret."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, Mapping):
            return {self.clean(key): self.clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.clean(item) for item in value]
        if value is None or isinstance(value, int | float):
            return value
        shown = str(value)
        masked = self.mask(shown)
        return value if masked == shown else masked

    def __call__(self, logger: Any, method: str, event: Any) -> Any:  # noqa: ARG002  # structlog's signature
        """Mask an event on its way through structlog."""
        return self.clean(event) if self._secrets else event


def _passwords(secret: str) -> Iterator[str]:
    """Yield the passwords of a URL as they stand in it; where it cannot be cut into parts, by their place."""
    for place in _BEFORE_HOST:
        yield from place.findall(secret)
    yield from _IN_QUERY.findall(secret)


REDACTOR = Redactor()
"""The process's own redactor: settings register with it, logging masks with it."""
