"""A small laboratory's inventory."""
