from __future__ import annotations

import pytest

from backtesting.gateway.errors import VersionError
from backtesting.gateway.wire.gates import SERVED, negotiate


@pytest.mark.parametrize(
    ("offer", "version"),
    [
        (b"v157..176", 176),
        (b"v157..178", 176),
        (b"v100..226", 176),
        (b"v100..157", 157),
        (b"v157..170 +PACEAPI", 170),
        (b"v157..158", 157),
        (b"v160", 160),
    ],
)
def test_the_smaller_of_both_newest_versions_is_chosen_and_never_158(offer: bytes, version: int) -> None:
    assert negotiate(offer) == version


@pytest.mark.parametrize(
    "offer", [b"v100..156", b"v158..158", b"v177..226", b"", b"157..176", b"v157..176\n", b"v99999..99999"]
)
def test_an_offer_without_a_served_version_is_refused(offer: bytes) -> None:
    with pytest.raises(VersionError):
        negotiate(offer)


@pytest.mark.parametrize(
    ("newest", "offer", "version"),
    [
        (178, b"v157..178", 178),
        (178, b"v100..226", 178),
        (178, b"v157..176", 176),
        (999, b"v100..226", 178),
        (158, b"v157..178", 157),
        (163, b"v157..178", 163),
        (157, b"v100..226", 157),
    ],
)
def test_the_newest_version_can_be_set(newest: int, offer: bytes, version: int) -> None:
    assert negotiate(offer, newest) == version


def test_every_version_but_158_is_served() -> None:
    assert set(range(157, 179)) - set(SERVED) == {158}
    assert all(negotiate(b"v157..%d" % version, 178) == version for version in SERVED)
