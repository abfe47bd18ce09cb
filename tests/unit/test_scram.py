"""Verifiers beside those that libpq makes of the same passwords."""

import psycopg
import pytest

from haop.postgres.scram import is_verifier, matches, verifier


@pytest.fixture(scope="module")
def libpq() -> psycopg.pq.abc.PGconn:
    return psycopg.pq.PGconn.connect_start(b"host=/nonexistent")


@pytest.mark.parametrize(
    "password",
    ["plain", "@/%+ &=?#", "sch\u00f6n", "\u2168", "soft\u00adhyphen", "wide\u3000space", "zero\u200bwidth", "\u00ad",
     "bell\u0007\u00e9", "\u0627\u0031", "\u0627a\u0627", "\u0627\u0628", "\U0001f600\u2168", "private\ue000\u2168"],
)  # fmt: skip
def test_a_password_is_prepared_as_libpq_prepares_it(libpq: psycopg.pq.abc.PGconn, password: str) -> None:
    theirs = libpq.encrypt_password(password.encode(), b"shop", b"scram-sha-256").decode()
    assert is_verifier(theirs)
    assert matches(theirs, "shop", password)
    assert not matches(theirs, "shop", f"{password}x")
    assert matches(verifier(password), "shop", password)
