"""The Flask application of a mock service."""

from __future__ import annotations

import select
import socket
from collections.abc import Mapping
from typing import cast

from cheroot.server import HTTPConnection
from flask import Flask, Response, request
from microsim_common import Answer, Incoming, Service, error_answer

METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]


def create_app(service: Service) -> Flask:
    """Return the application; the routes are those of the System."""
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True

    @app.before_request
    def guard() -> Response | None:
        refusal = service.refuse(_headers())
        return _response(refusal) if refusal else None

    @app.get("/healthz", provide_automatic_options=False)
    @app.get("/readyz", provide_automatic_options=False)
    def health() -> Response:
        return _response(Answer(200, b"ok\n", {"Content-Type": "text/plain"}))

    @app.get("/metrics", provide_automatic_options=False)
    def metrics() -> Response:
        return _response(service.answer_metrics())

    @app.route("/admin", methods=METHODS)
    @app.route("/admin/<path:rest>", methods=METHODS)
    def control(rest: str = "") -> Response:
        return _response(service.control(_incoming()))

    routes = service.routes()
    if all(path != "/set-delay" for path, _ in routes):
        app.add_url_rule("/set-delay", view_func=control, methods=["POST"])

    @app.post("/", provide_automatic_options=False)
    def chain() -> Response:
        incoming = _incoming()
        if service.is_chain(incoming):
            return _response(service.answer_chain(incoming))
        return next(view for path, method, view in views if path == "/" and method in ("", "POST"))()

    views = []
    for i, (path, endpoint) in enumerate(routes):

        def view(endpoint=endpoint) -> Response:  # type: ignore[no-untyped-def]  # the default binds the loop's variable
            return _response(service.answer(endpoint, _incoming()))

        methods = [endpoint.method] if endpoint.method else METHODS
        app.add_url_rule(path, f"endpoint-{i}", view, methods=methods, provide_automatic_options=False)
        views.append((path, endpoint.method, view))

    @app.errorhandler(404)
    @app.errorhandler(405)
    def nothing(_: Exception) -> Response:
        if request.path in ("/healthz", "/readyz", "/metrics"):
            answer = error_answer(405, f"{request.path} is read by GET")
            answer.headers["Allow"] = "GET, HEAD"
            return _response(answer)
        return _response(service.answer_none(_incoming()))

    return app


def _incoming() -> Incoming:
    """Return the request as the service looks at it. Its body is read before anything is done."""
    connection: HTTPConnection = request.environ["microsim.connection"]
    return Incoming(request.method, request.path, _headers(), request.get_data(), lambda: _has_left(connection))


def _headers() -> Mapping[str, str]:
    """Return the headers, whose names have no case."""
    return cast("Mapping[str, str]", request.headers)


def _has_left(connection: HTTPConnection) -> bool:
    """Report whether the client has closed its connection."""
    try:
        readable, _, _ = select.select([connection.socket], [], [], 0)
        return bool(readable) and connection.socket.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True


def _response(answer: Answer | None) -> Response:
    """Return the response of Flask, or close the connection if there is no answer."""
    if answer is None:
        request.environ["microsim.connection"].socket.shutdown(socket.SHUT_RDWR)
        return Response(status=500)
    return Response(answer.body, answer.status, answer.headers)
