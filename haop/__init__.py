"""haop: High-Availability Operations for PostgreSQL."""

__version__ = "0.1.0"
