"""A small laboratory's inventory."""

from django.apps import AppConfig


class InventoryConfig(AppConfig):
    """What is where, and how much of it."""

    name = "inventory"
