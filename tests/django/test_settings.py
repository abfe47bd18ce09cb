"""`databases()` and the system checks: what they accept, and what they say of the rest. No server runs."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from haop.django import databases
from haop.operations.initialise import Wishes, initialise
from tests.django.serving import REPOSITORY

URL = "postgresql://shop:s%40cret@db1:5432,db2:5433/shop?sslmode=verify-full&sslrootcert=/ca.crt"
READ_URL = "postgresql://shop:s%40cret@db3:5432/shop?target_session_attrs=prefer-standby"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in ("DATABASE_URL", "DATABASE_READ_URL"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    monkeypatch.chdir(folder)


def test_one_url_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    found = databases()
    for alias in ("default", "replica"):
        told = found[alias]
        assert (told["HOST"], told["PORT"]) == ("db1,db2", "5432,5433")
        assert (told["NAME"], told["USER"], told["PASSWORD"]) == ("shop", "shop", "s@cret")
        assert told["OPTIONS"]["sslmode"] == "verify-full"
        assert told["OPTIONS"]["connect_timeout"] == 2
        assert told["OPTIONS"]["tcp_user_timeout"] == 10_000
        assert told["CONN_MAX_AGE"] == 60
    assert found["default"]["OPTIONS"]["target_session_attrs"] == "read-write"
    assert found["replica"]["OPTIONS"]["target_session_attrs"] == "prefer-standby"
    assert found["replica"]["TEST"] == {"MIRROR": "default"}


def test_files_come_before_variables(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "url").write_text(f"{URL}\n")
    (folder / "read_url").write_text(READ_URL)
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@nowhere/nothing")
    monkeypatch.setenv("DATABASE_URL_FILE", str(folder / "url"))
    monkeypatch.setenv("DATABASE_READ_URL_FILE", str(folder / "read_url"))
    found = databases(CONN_MAX_AGE=0, OPTIONS={"application_name": "lab"})
    assert found["default"]["HOST"] == "db1,db2"
    assert found["replica"]["HOST"] == "db3"
    assert found["default"]["CONN_MAX_AGE"] == 0
    assert found["default"]["OPTIONS"]["application_name"] == "lab"


def test_a_project_of_haop_says_it_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wishes = Wishes(
        name="shop", nodes=3, postgres=None, durability="async", database="lab", runtime="local", first_port=7000
    )
    project = initialise(folder / "shop", wishes).project
    (below := folder / "shop" / "web").mkdir()
    monkeypatch.chdir(below)
    for found in (databases(), databases(folder / "shop")):
        told = found["default"]
        assert (told["HOST"], told["PORT"]) == ("127.0.0.1,127.0.0.1,127.0.0.1", "7000,7001,7002")
        assert (told["NAME"], told["USER"]) == ("lab", "lab")
        assert told["PASSWORD"] == project.secrets().database_password


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "DATABASE_URL_FILE and DATABASE_URL are not set, and no haop.toml is in this folder or above it"),
        ({"DATABASE_URL_FILE": "/nowhere/url"}, "DATABASE_URL_FILE names /nowhere/url, which cannot be read"),
        ({"DATABASE_READ_URL": READ_URL}, "DATABASE_READ_URL is set and DATABASE_URL is not"),
        ({"DATABASE_URL": "postgresql://shop:s3cret@db1:port:99/x?nonsense=1"}, "DATABASE_URL is not a connection URI"),
        ({"DATABASE_URL": "mysql://shop:s3cret@db1/x"}, "DATABASE_URL is not a connection URI"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], expected: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured) as told:
        databases()
    assert expected in str(told.value)
    assert "s3cret" not in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("[cluster", "haop.toml: "), ('[cluster]\nname = "shop"\n', "haop.toml: ")],
)
def test_a_broken_project_names_its_file(folder: Path, text: str, expected: str) -> None:
    (folder / "haop.toml").write_text(text)
    with pytest.raises(ImproperlyConfigured, match=expected):
        databases(folder)


def check(environment: Mapping[str, Any], *arguments: str) -> str:
    """What `manage.py check` says of the trial project."""
    told = {**os.environ, "DATABASE_URL": URL, "DJANGO_SETTINGS_MODULE": "tests.django.trial.settings"}
    told |= {key: json.dumps(value) for key, value in environment.items()}
    argv = (sys.executable, "-W", "error", "-m", "django", "check", *arguments)
    done = subprocess.run(argv, cwd=REPOSITORY, env=told, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


ONE_HOST = {"HOST": "db1", "PORT": "5432"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "System check identified no issues"),
        ({"TRIAL_SETTINGS": {"MIDDLEWARE": []}}, "haop.W001"),
        ({"TRIAL_SETTINGS": {"MIDDLEWARE": ["tests.django.trial.views.Touching",
                                            "haop.django.HealthCheckMiddleware"]}}, "haop.W002"),
        ({"TRIAL_DATABASES": ONE_HOST}, "haop.W003"),
        ({"TRIAL_DATABASES": {"ATOMIC_REQUESTS": True}}, "haop.W004"),
        ({"TRIAL_DATABASES": {"ENGINE": "django.db.backends.postgresql"}}, "haop.E002"),
        ({"TRIAL_DATABASES": {"OPTIONS": {"target_session_attrs": "any"}}}, "haop.E003"),
        ({"TRIAL_SETTINGS": {"DATABASES": {"default": {"ENGINE": "haop.django.postgresql", "NAME": "x"}}}},
         "haop.E001"),
    ],
)  # fmt: skip
def test_the_checks_name_what_is_missing_or_contradictory(environment: Mapping[str, Any], expected: str) -> None:
    assert expected in check(environment)


def test_the_check_connects_where_it_is_told_to() -> None:
    nobody = {"TRIAL_DATABASES": {"HOST": "127.0.0.1,127.0.0.1", "PORT": "1,2"}}
    assert "no issues" in check(nobody)
    assert "haop.E004" in check(nobody, "--database", "default")
