"""Serves what the environment describes until it is told to end."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import os
import threading
import time

import uvicorn
from microsim_common import Service, load_spec, tell_address, until_end
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .app import create_app


class Protocol(HttpToolsProtocol):
    """Tells the application its connection, which a fault may close."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in Uvicorn
        """Take a connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def main() -> None:
    """Serve."""
    spec, host, port, grace = load_spec()
    service = Service(spec)
    config = uvicorn.Config(
        create_app(service), host, port, http=Protocol, ws="none", log_level="warning", access_log=False, server_header=False, proxy_headers=False,
        backlog=1024, timeout_keep_alive=180, timeout_graceful_shutdown=math.ceil(grace),
    )  # fmt: skip
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    listener.listen(config.backlog)
    host, port = listener.getsockname()[:2]
    service.loopback = ipaddress.ip_address(host).is_loopback
    threading.Thread(target=end_in_order, args=(until_end(), server, service, grace), daemon=True).start()
    tell_address(host, port)
    server.run([listener])
    service.close()
    os._exit(0)  # what still works has had its grace


def end_in_order(end: threading.Event, server: uvicorn.Server, service: Service, grace: float) -> None:
    """End the server when it is time, and after the grace what still waits in the service."""
    while not end.wait(0.05) and not server.should_exit:
        pass
    server.should_exit = True
    time.sleep(grace)
    service.close()


if __name__ == "__main__":
    main()
