"""Serves what the environment describes until it is told to end."""

from __future__ import annotations

import ipaddress
import math
import os
import socket
import threading
from typing import Any

from cheroot import wsgi
from microsim_common import Service, load_spec, tell_address, until_end

from .app import create_app

# Cheroot has as many threads as it begins with. Each request holds one.
THREADS = 100


class Gateway(wsgi.Gateway_10):
    """Tells the application its connection, which a fault may close."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]  # the types of Cheroot say None
        """Return the environment of a request."""
        return {**super().get_environ(), "microsim.connection": self.req.conn}  # type: ignore[no-untyped-call]


def main() -> None:
    """Serve."""
    spec, host, port, grace = load_spec()
    end = until_end()
    service = Service(spec)
    server = wsgi.Server((host, port), create_app(service), numthreads=THREADS, request_queue_size=1024, timeout=180, shutdown_timeout=math.ceil(grace))
    server.gateway = Gateway
    server.prepare()
    # Cheroot leaves this out with port 0. Connections that a killed process leaves would keep the next one from its port.
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    host, port = server.bind_addr[:2]
    service.loopback = ipaddress.ip_address(host).is_loopback
    threading.Thread(target=server.serve, daemon=True).start()
    tell_address(host, port)
    end.wait()
    server.stop()
    service.close()
    os._exit(0)  # what still works has had its grace


if __name__ == "__main__":
    main()
