"""Calls to other services: where they are, how a request is sent, and what became of it.

A request is never sent twice.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError, ReadTimeoutError


class CallError(Exception):
    """A call that failed, with its class: connection_error, timeout, http_error or malformed."""

    def __init__(self, outcome: str, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.outcome, self.status = outcome, status


@dataclass(frozen=True)
class Reply:
    """An answer; of one that is longer than wanted, body is the beginning."""

    status: int
    content_type: str
    body: bytes
    whole: bool
    times: str
    degraded: int


class Peers:
    """Who may be called, by name and by address."""

    def __init__(self, system: str, peers: Any, allow_hosts: list[str]) -> None:
        self.system, self.allow_hosts = system, allow_hosts
        self.set(peers)

    def set(self, peers: Any) -> None:
        """Say anew where the services are."""
        if not isinstance(peers, dict):
            raise ValueError("peers are an object of names with base URLs")
        known: dict[str, list[SplitResult]] = {}
        for name, urls in peers.items():
            if not isinstance(urls, list):
                raise ValueError(f"the peers of {name!r} are a list of base URLs")
            known[name] = []
            for text in urls:
                url = _parse(text)
                if url is None or url.username or url.query or url.fragment or url.path not in ("", "/"):
                    raise ValueError(f"{text!r} of {name!r} is no base URL: write one such as http://127.0.0.1:8080")
                known[name].append(url)
        self.known = known

    def of(self, name: str) -> list[SplitResult]:
        """Return the addresses of a service."""
        return self.known.get(name, [])

    def locate(self, designation: str) -> tuple[str, list[SplitResult]]:
        """Find what a designation of a chain means; a LookupError says why it is not called."""
        for name in (designation, designation.replace("_", "-")):
            if self.of(name):
                return name, self.of(name)
        word = json.dumps(designation[:128])
        if not designation.startswith("http"):
            raise LookupError(f"designation {word} is not a service of system {json.dumps(self.system)}")
        url = _parse(designation)
        if url is None:
            raise LookupError(f"designation {word} is no URL")
        if instead := self.of(_address(url)):
            url = url._replace(netloc=instead[0].netloc)
        for name, urls in self.known.items():
            if ":" not in name and any(_address(u) == _address(url) for u in urls):
                return name, [url]
        host = url.netloc.rpartition("@")[2]
        if host in self.allow_hosts or url.hostname in self.allow_hosts:
            return "external", [url]
        raise LookupError(f"designation {word} is outside system {json.dumps(self.system)}: add {json.dumps(host)} to its allowHosts to permit it")

    def unreachable(self) -> list[str]:
        """Return the names to which no connection can be made from here."""
        names = [name for name in self.known if ":" not in name]
        with ThreadPoolExecutor(max(len(names), 1)) as pool:
            reached = pool.map(lambda name: any(map(_can_connect, self.known[name])), names)
            return sorted(name for name, ok in zip(names, reached, strict=True) if not ok)


def _parse(text: Any) -> SplitResult | None:
    try:
        url = urlsplit(text)
        return url if url.scheme in ("http", "https") and url.hostname and (url.port or True) else None
    except (ValueError, AttributeError, TypeError):
        return None


def _address(url: SplitResult) -> str:
    return f"{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}"


def _can_connect(url: SplitResult) -> bool:
    try:
        socket.create_connection((url.hostname, url.port or (443 if url.scheme == "https" else 80)), 1).close()
    except OSError:
        return False
    return True


class Sender:
    """Sends requests over connections that are kept."""

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(num_pools=1000, maxsize=64, retries=False)

    def send(self, url: SplitResult, method: str, path: str, headers: Mapping[str, str], body: bytes | None, deadline: float, keep: int) -> Reply:
        """Send a request and read its whole answer; deadline is of time.monotonic()."""
        left = None if deadline == float("inf") else max(deadline - time.monotonic(), 0.001)
        try:
            response = self._pool.request(
                method, f"{url.scheme}://{url.netloc.rpartition('@')[2]}{path}", headers=headers, body=body, timeout=urllib3.Timeout(connect=left, read=left),
                redirect=False, preload_content=False, decode_content=False,
            )  # fmt: skip
            try:
                parts, length = [], 0
                for part in response.stream(1 << 16):
                    if length < keep:
                        parts.append(part[: keep - length])
                    length += len(part)
                    if time.monotonic() > deadline:
                        raise CallError("timeout", "no whole answer came in time")
            except BaseException:
                response.close()
                raise
            response.release_conn()
        except HTTPError as error:
            raise _classify(error) from None
        degraded = response.headers.get("Microsim-Degraded", "")
        return Reply(
            response.status, response.headers.get("Content-Type", ""), b"".join(parts), length <= keep, response.headers.get("Microsim-Times", ""),
            min(int(degraded), 1_000_000) if degraded.isascii() and degraded.isdigit() else 0,
        )  # fmt: skip

    def close(self) -> None:
        """Close all connections."""
        self._pool.clear()


def _classify(error: HTTPError) -> CallError:
    if isinstance(error, ReadTimeoutError):
        return CallError("timeout", "no answer came in time")
    if isinstance(error, ConnectTimeoutError | NewConnectionError):
        return CallError("connection_error", str(error))
    reason = error.args[-1] if isinstance(error, ProtocolError) and error.args else None
    # That the server has left is told as a line that is no status, too.
    if isinstance(reason, http.client.BadStatusLine | http.client.LineTooLong) and not isinstance(reason, ConnectionError):
        return CallError("malformed", "the answer is no HTTP")
    return CallError("connection_error", str(error))
