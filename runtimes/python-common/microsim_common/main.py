"""How a service starts and ends, with whatever framework."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import threading
from typing import Any

from .dist import parse_duration


def load_spec() -> tuple[Any, str, int, float]:
    """Return what the environment says: the spec, the host and port to listen on, and the seconds of grace."""
    text = os.environ.get("MICROSIM_SERVICE", '{"service":{"name":"Undefined","endpoints":[{}]}}')
    spec = json.loads(pathlib.Path(text[1:]).read_text() if text.startswith("@") else text)
    host, _, port = os.environ.get("MICROSIM_ADDR", f":{os.environ.get('PORT', '8080')}").rpartition(":")
    return spec, host.strip("[]") or "0.0.0.0", int(port), parse_duration(spec.get("grace")) / 1e9 or 5.0


def tell_address(host: str, port: int) -> None:
    """Print the line that says where the service listens."""
    print(json.dumps({"addr": f"[{host}]:{port}" if ":" in host else f"{host}:{port}"}), flush=True)


def until_end() -> threading.Event:
    """Return an event that is set when the service is to end: by a signal, or when stdin is closed."""
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, lambda *_: end.set())
    if os.environ.get("MICROSIM_WATCH_STDIN"):

        def watch() -> None:
            # Not sys.stdin, whose lock would be held when the interpreter ends, which aborts it.
            while os.read(0, 4096):
                pass
            end.set()

        threading.Thread(target=watch, daemon=True).start()
    return end
