"""A drill with an application: when its pages were back, and that a page that is not there stops the drill."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from haop.drills import drill, past
from haop.drills.drill import FailoverDrill
from haop.drills.faults import Fault
from haop.drills.verdict import Word
from haop.errors import NoPrimary
from haop.operations import heal
from haop.operations.cluster import Cluster
from haop.project import load
from tests import support
from tests.conftest import Haop
from tests.django.conftest import TABLE
from tests.django.serving import served
from tests.support import Quiet


@contextmanager
def with_application(where: Path, pages: str, *, one_host: bool = False, live: str = "/list") -> Iterator[Cluster]:
    """A cluster whose haop.toml names pages of the trial project, which is served; without the kit it has one host."""
    made = support.make_project(where, guard=True)
    with support.running(made):
        support.sql(made, "db1", TABLE, database="shop")
        databases = {"ENGINE": "django.db.backends.postgresql", "OPTIONS": {"target_session_attrs": "any"}}
        databases |= {"HOST": "127.0.0.1", "PORT": str(made.runtime.endpoint("db1").port)}
        settings = {"INSTALLED_APPS": ["tests.django.trial"], "MIDDLEWARE": []}
        without: dict[str, Any] = {"databases": databases, "settings": settings} if one_host else {}
        with served(made, threads=8, live=live, **without) as site:
            with (made.project.root / "haop.toml").open("a") as config:
                config.write(f'\n[web]\nurl = "{site.url}"\n{pages}\n')
            yield Cluster.of(load(made.project.root))


def test_pages_of_the_kit_are_back_with_the_database(folder: Path, haop: Haop) -> None:
    with with_application(folder / "shop", 'read_page = "/"\nwrite_page = "/add"') as shop:
        done = haop("-C", "shop", "drill", "failover", "--yes")
        assert done.code == 0, done.out + done.err
        (file,) = (shop.project.state / "drills").glob("*.json")
        report = past.load(file)
        seen = report.application
        assert seen
        assert (seen.failed_reads, seen.read_recovery_seconds) == (0, 0.0)
        assert seen.reads > 20
        assert seen.write_recovery_seconds is not None
        assert seen.write_recovery_seconds < 30
        assert seen.told in report.told
        for words in ("pages that write failed for", "pages that read failed for", "pages that failed"):
            assert words in done.out
        shown = haop("-C", "shop", "drill", "show", "last", "--json")
        assert json.loads(shown.out)["application"]["writes"] == seen.writes


def test_an_application_that_stays_behind_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's own backend with one host: it knows the old primary alone, which comes back as a standby."""
    monkeypatch.setattr(drill, "_PAGES_SECONDS", 5.0)  # it would be waited for in vain
    with with_application(folder / "shop", 'write_page = "/save"', live="/list", one_host=True) as shop:
        report = FailoverDrill(shop, Fault.KILL, Quiet()).run()
        assert report.verdict.word is Word.PASSED, "the database is judged"
        seen = report.application
        assert seen
        assert seen.failed_writes > 0
        assert seen.write_recovery_seconds is None
        assert seen.cause == "unknown", "it has no endpoint that says more"
        assert "application writes never" in report.told


@pytest.mark.parametrize(
    ("pages", "says"),
    [('read_page = "/nowhere"', "/nowhere: answers 404"), ('write_page = "/raw-is-not-for-post"', "answers 404")],
)
def test_a_page_that_is_not_there_stops_the_drill_before_anything_breaks(
    folder: Path, pages: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haop.drills.drill._PAGES_SECONDS", 5.0)
    with with_application(folder / "shop", pages) as shop:
        with pytest.raises(NoPrimary, match=says):
            FailoverDrill(shop, Fault.KILL, Quiet()).run()
        assert support.primary_of(shop) == "db1"
        assert heal.read(shop.project) is None
