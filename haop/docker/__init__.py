"""The Docker engine and Docker Compose: the only place that talks to them."""
