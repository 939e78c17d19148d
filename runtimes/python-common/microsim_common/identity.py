"""What a request says of itself, and what its calls pass on."""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
import uuid
from collections.abc import Mapping

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?")


def value_of(headers: Mapping[str, str], name: str, bound: int) -> str:
    """Return the value of a header, or "" if it is missing or too long."""
    value = headers.get(name, "")
    return value if len(value) <= bound else ""


def request_id(headers: Mapping[str, str]) -> str:
    """Return the id of a request, or a new one."""
    return value_of(headers, "X-Request-ID", 128) or str(uuid.uuid4())


def traceparent(headers: Mapping[str, str]) -> str:
    """Return the traceparent of a call: the trace that came in with a new span, or a new trace."""
    match = _TRACEPARENT.fullmatch(value_of(headers, "traceparent", 128))
    return f"00-{match[1]}-{secrets.token_hex(8)}-{match[2]}" if match else f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def time_left(headers: Mapping[str, str]) -> float:
    """Return the seconds that the caller says are left, or infinity."""
    text = value_of(headers, "Microsim-Deadline", 20)
    seconds = int(text) / 1000 if text.isascii() and text.isdigit() else float("inf")
    return seconds if seconds < 24 * 3600 else float("inf")


def refusal_of(headers: Mapping[str, str], loopback: bool) -> str:
    """Say why a request is refused that a web page has sent, or by a foreign name; "" if it is not."""
    if headers.get("Origin") or headers.get("Sec-Fetch-Site", "none") != "none":
        return "requests of web pages are refused by this service; send it from a program"
    host = re.sub(r":\d+$", "", headers.get("Host", "")).strip("[]").lower()
    if loopback and host != "localhost" and not _is_loopback(host):
        return f"host {json.dumps(host[:128])} is not this service: use its address"
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
