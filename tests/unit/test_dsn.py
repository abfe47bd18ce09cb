"""Connection strings, as their drivers read them."""

import ast
import re
import shlex
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haop.model.endpoint import Endpoint
from haop.operations import dsn

HOSTS = (Endpoint("db1", 5432), Endpoint("db2", 5433))


def to(password: str | None = None, *, read: bool = False, ca: str | None = "/run/secrets/ca.crt") -> dsn.Target:
    return dsn.Target(hosts=HOSTS, database="shop", user="owner", password=password, read=read, ca=ca)


@pytest.mark.parametrize(("form", "write", "read"), [
    ("libpq", "target_session_attrs=read-write", "target_session_attrs=prefer-standby"),
    ("go", "target_session_attrs=read-write", "target_session_attrs=prefer-standby"),
    ("sqlalchemy", "target_session_attrs=read-write", "target_session_attrs=prefer-standby"),
    ("django", '"target_session_attrs": "read-write"', '"target_session_attrs": "prefer-standby"'),
    ("jdbc", "targetServerType=primary", "targetServerType=preferSecondary"),
    ("npgsql", "Target Session Attributes=read-write", "Target Session Attributes=prefer-standby"),
    ("env", "PGTARGETSESSIONATTRS=read-write", "PGTARGETSESSIONATTRS=prefer-standby"),
])  # fmt: skip
def test_each_asks_for_the_primary_or_prefers_a_standby_and_gives_up_soon(form: str, write: str, read: str) -> None:
    written, told = dsn.FORMATS[form](to()), dsn.FORMATS[form](to(read=True))
    assert write in written
    assert read in told
    assert read not in written
    for text in (written, told):
        assert re.search(r"timeout\"?[=:] ?3\b", text, re.IGNORECASE)
        assert re.search(r"verify-?full", text, re.IGNORECASE)
        assert "db1" in text
        assert "5433" in text
    assert not re.search(r"ssl|certificate", dsn.FORMATS[form](to(ca=None)), re.IGNORECASE)


def test_hosts_in_each_drivers_way() -> None:
    assert dsn.libpq(to()).startswith("postgresql://owner@db1:5432,db2:5433/shop?")
    assert dsn.go(to()).startswith("postgresql://owner@db1:5432,db2:5433/shop?")
    assert dsn.sqlalchemy(to()).startswith("postgresql+psycopg://owner@/shop?host=db1:5432&host=db2:5433&")
    assert dsn.jdbc(to()).startswith("jdbc:postgresql://db1:5432,db2:5433/shop?user=owner&")
    assert dsn.npgsql(to()).startswith("Host=db1:5432,db2:5433;Database=shop;Username=owner;")
    assert dsn.env(to()).startswith("PGHOST=db1,db2\nPGPORT=5432,5433\nPGDATABASE=shop\nPGUSER=owner\n")


def test_pgx_is_told_nothing_that_it_would_send_to_the_server() -> None:
    assert "keepalives" not in dsn.go(to())
    assert "tcp_user_timeout" not in dsn.go(to())


def test_django_without_the_password_takes_it_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "pear")
    names: dict[str, Any] = {}
    exec(dsn.django(to()), names)  # noqa: S102 - as a settings module would be read
    assert names["DATABASES"]["default"]["PASSWORD"] == "pear"


@given(st.text(st.characters(exclude_characters="\n\r\0:\\", exclude_categories=["Cs"]), min_size=1))
def test_any_password_is_read_back_as_it_is(password: str) -> None:
    told = to(password)
    for form in ("libpq", "go", "sqlalchemy"):
        assert unquote(urlsplit(dsn.FORMATS[form](told)).password or "") == password
    # Java's URLDecoder reads "+" as a space.
    words = dict(part.split("=") for part in dsn.jdbc(told).partition("?")[2].split("&"))
    assert unquote_plus(words["password"]) == password
    assert dict(parse_qsl(dsn.jdbc(told).partition("?")[2]))["password"] == password
    django = ast.literal_eval(dsn.django(told).removeprefix("DATABASES = "))
    assert django["default"]["PASSWORD"] == password
    assert f"PGPASSWORD={password}" in shlex.split(dsn.env(told))
    assert net(dsn.npgsql(told))["Password"] == password


def net(text: str) -> dict[str, str]:
    """A .NET connection string (DbConnectionOptions): values plain up to the next semicolon, or quoted and doubled."""
    found = {}
    for match in re.finditer(r'([^=;]+)=("(?:[^"]|"")*"|[^;"\']*)(?:;|$)', text):
        value = match[2]
        found[match[1]] = value[1:-1].replace('""', '"') if value.startswith('"') else value.strip()
    return found
