"""Drills: one rehearsed failure each, measured from where the clients stand."""
