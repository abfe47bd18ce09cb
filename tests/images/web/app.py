"""The application of the tests: answers with what it reaches through the URLs that it was given.

GET /        {"write": [node, mode, error], "read": [node, mode, error], "redis": reply, "environment": {...}}
GET /healthz 200, whatever the databases do
"""

import json
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

NAMES = ("DATABASE_URL", "DATABASE_READ_URL", "REDIS_URL")
TIMEOUT_SECONDS = 3.0


def url(name: str) -> str | None:
    """The content of the file that NAME_FILE names, else NAME."""
    file = os.environ.get(f"{name}_FILE")
    return Path(file).read_text().strip() if file else os.environ.get(name)


def database(name: str) -> tuple[str | None, str | None, str | None]:
    """Which node answers (its cluster_name, else its address), whether it takes writes, or why neither is known."""
    # Here, and untyped: the repository's own checks read this file without the image's driver.
    import psycopg2  # type: ignore[import-untyped]

    try:
        target = url(name)
        if target is None:
            return None, None, f"{name} is not set"
        connection = psycopg2.connect(target)
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT host(inet_server_addr()), current_setting('cluster_name'),"
                    " current_setting('transaction_read_only')"
                )
                address, cluster_name, read_only = cursor.fetchone()
        finally:
            connection.close()
    except (OSError, psycopg2.Error) as error:
        return None, None, str(error).strip()
    return cluster_name or address, "read-only" if read_only == "on" else "read-write", None


def redis() -> str | None:
    """The reply to PING, or what went wrong; None where no Redis was given."""
    try:
        target = url("REDIS_URL")
        if target is None:
            return None
        parts = urlsplit(target)
        address = (parts.hostname or "localhost", parts.port or 6379)
        with socket.create_connection(address, TIMEOUT_SECONDS) as connection, connection.makefile("rwb") as stream:
            if parts.password:
                user = (unquote(parts.username),) if parts.username else ()
                stream.write(command("AUTH", *user, unquote(parts.password)))
                stream.flush()
                reply = stream.readline().decode().strip()
                if reply != "+OK":
                    return reply
            stream.write(command("PING"))
            stream.flush()
            return stream.readline().decode().strip().lstrip("+")
    except OSError as error:
        return str(error)


def command(*words: str) -> bytes:
    r"""A command as Redis reads it.

    >>> command("PING")
    b'*1\r\n$4\r\nPING\r\n'
    """
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.answer(200, {"ok": True})
        elif self.path == "/":
            names = [variable for name in NAMES for variable in (name, f"{name}_FILE")]
            environment = {name: os.environ[name] for name in names if name in os.environ}
            write, read = database("DATABASE_URL"), database("DATABASE_READ_URL")
            self.answer(200, {"write": write, "read": read, "redis": redis(), "environment": environment})
        else:
            self.answer(404, {"error": "there is / and /healthz"})

    def answer(self, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # process 1 has no default action for it
    ThreadingHTTPServer(("", 8000), Handler).serve_forever()
