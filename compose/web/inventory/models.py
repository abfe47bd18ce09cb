"""What is where, how much of it, and what happened to it."""

from typing import Any

from django.core.validators import MinValueValidator
from django.db import models
from django.urls import reverse


class Item(models.Model):
    """Something that can run out."""

    class Kind(models.TextChoices):
        """What sort of thing it is."""

        REAGENT = "reagent", "Reagent"
        GLASSWARE = "glassware", "Glassware"
        INSTRUMENT = "instrument", "Instrument"
        CONSUMABLE = "consumable", "Consumable"

    name: Any = models.CharField(max_length=80, unique=True)
    kind: Any = models.CharField(max_length=20, choices=Kind.choices, default=Kind.REAGENT)
    location: Any = models.CharField(max_length=40)
    supplier: Any = models.CharField(max_length=60, blank=True)
    unit: Any = models.CharField(max_length=20, default="pieces")
    quantity: Any = models.IntegerField(default=0, validators=[MinValueValidator(0)])
    minimum: Any = models.IntegerField("order when below", default=0, validators=[MinValueValidator(0)])

    class Meta:
        """By name."""

        ordering = ("name",)

    def __str__(self) -> str:
        return str(self.name)

    def get_absolute_url(self) -> str:
        """Its page."""
        return reverse("item", args=[self.pk])

    @property
    def is_low(self) -> bool:
        """Whether it is time to order."""
        return bool(self.quantity < self.minimum)


class Movement(models.Model):
    """Something went in or out."""

    item: Any = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="movements")
    at: Any = models.DateTimeField(db_index=True)
    change: Any = models.IntegerField()
    reason: Any = models.CharField(max_length=80)

    class Meta:
        """The newest first."""

        ordering = ("-at", "-id")

    def __str__(self) -> str:
        return f"{self.change:+d} {self.item}"


class Heartbeat(models.Model):
    """One row that the live page writes, to see who takes writes."""

    beats: Any = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.beats} beats"
