"""One table, which the tests make."""

from django.db import models


class Sample(models.Model):
    name: "models.TextField[str, str]" = models.TextField()

    class Meta:
        app_label = "trial"
        db_table = "samples"
