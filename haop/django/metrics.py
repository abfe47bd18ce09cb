"""The health of the databases for Prometheus."""

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from haop.django.config import DEFAULT, REPLICA
from haop.django.health import Health

_STATES = ("healthy", "degraded", "unavailable")


def text(health: Health, *, names: bool) -> tuple[bytes, str]:
    """The figures and their content type.

    Args:
        health: what was found out.
        names: whether servers may be named.
    """
    registry = CollectorRegistry()
    status = Gauge("haop_status", "1 for the state that the databases are in", ["status"], registry=registry)
    for state in _STATES:
        status.labels(state).set(state == health.status)
    connected = Gauge("haop_database_connected", "1 where a server serves the alias", ["alias"], registry=registry)
    connected.labels(DEFAULT).set(health.writes)
    connected.labels(REPLICA).set(health.standby)
    if health.redis is not None:
        Gauge("haop_redis_connected", "1 where Redis answers", registry=registry).set(health.redis)
    if names:
        _servers(health, registry)
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _servers(health: Health, registry: CollectorRegistry) -> None:
    role = Gauge("haop_server_role", "1 for the role that the server plays", ["server", "role"], registry=registry)
    lag = Gauge("haop_server_lag_bytes", "WAL that the standby has not replayed", ["server"], registry=registry)
    for server in health.with_lag():
        role.labels(server.host, server.role).set(1)
        if server.lag_bytes is not None:
            lag.labels(server.host).set(server.lag_bytes)
