"""Tests as an application has them; run by Django's own runner (test_rules.py), not by pytest."""

from django.test import TestCase, TransactionTestCase

from haop.django import use_replica
from tests.django.trial.models import Sample
from tests.django.trial.views import look


class Cases(TestCase):
    databases = {"default", "replica"}  # noqa: RUF012 - Django's way

    def test_what_is_written_is_read_where_a_replica_is_asked_for(self) -> None:
        Sample.objects.create(name="one")
        with use_replica():
            assert Sample.objects.count() == 1
        assert self.client.get("/report").json()["count"] == 1
        assert self.client.post("/add").json()["seen"] is True


class Transactions(TransactionTestCase):
    databases = {"default", "replica"}  # noqa: RUF012

    def test_what_is_written_is_read_where_a_replica_is_asked_for(self) -> None:
        Sample.objects.create(name="one")
        with use_replica():
            assert Sample.objects.count() == 1
        before = look()["node"]
        expected = {"count": 1, "last": Sample.objects.get().pk, "node": before}
        assert self.client.get("/report").json() == expected
