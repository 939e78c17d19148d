"""The FastAPI application of a mock service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from anyio import from_thread, to_thread
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from microsim_common import Answer, Endpoint, Incoming, Service, error_answer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]

# The work of a service blocks, so its endpoints are functions that run on threads,
# as FastAPI does with all that are not async. It would have 40 of them.
THREADS = 100

MAX_BODY = 64 << 20


async def read(request: Request) -> Incoming:
    """Return the request as the service looks at it. Its body is read before anything is done."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise HTTPException(413, f"the body has more than the {MAX_BODY} bytes possible")
    return Incoming(request.method, request.scope["path"], request.headers, bytes(body), lambda: from_thread.run(request.is_disconnected))


Read = Annotated[Incoming, Depends(read)]


def create_app(service: Service) -> FastAPI:
    """Return the application; the routes are those of the System."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield

    app = FastAPI(lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    app.add_middleware(Guard, service=service)

    @app.api_route("/healthz", methods=["GET", "HEAD"])
    @app.api_route("/readyz", methods=["GET", "HEAD"])
    async def health() -> Response:
        return Response(b"ok\n", media_type="text/plain")

    @app.api_route("/metrics", methods=["GET", "HEAD"])
    async def metrics() -> Response:
        return respond(service.answer_metrics())

    @app.api_route("/admin", methods=METHODS)
    @app.api_route("/admin/{rest:path}", methods=METHODS)
    async def control(incoming: Read) -> Response:
        # Not on a thread of the endpoints: a fault may hold all of them.
        return respond(await asyncio.to_thread(service.control, incoming))

    routes = service.routes()
    if all(path != "/set-delay" for path, _ in routes):
        app.post("/set-delay")(control)

    @app.post("/")
    def root(incoming: Read) -> Response:
        if service.is_chain(incoming):
            return respond(service.answer_chain(incoming))
        endpoint = next(e for path, e in routes if path == "/" and e.method in ("", "POST"))
        return respond(service.answer(endpoint, incoming))

    def answers(endpoint: Endpoint) -> Callable[[Incoming], Response]:
        def view(incoming: Read) -> Response:
            return respond(service.answer(endpoint, incoming))

        return view

    for path, endpoint in routes:
        app.api_route(path, methods=[endpoint.method] if endpoint.method else METHODS)(answers(endpoint))

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def nothing(request: Request, _: Exception) -> Response:
        path = request.scope["path"]
        if path in ("/healthz", "/readyz", "/metrics"):
            answer = error_answer(405, f"{path} is read by GET")
            answer.headers["Allow"] = "GET, HEAD"
            return respond(answer)
        return respond(service.answer_none(await read(request)))

    @app.exception_handler(413)
    async def too_long(_: Request, error: HTTPException) -> Response:
        return respond(error_answer(413, error.detail))

    return app


class Guard:
    """Middleware that refuses requests of web pages, whatever their path."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it pass."""
        refusal = self.service.refuse(Headers(scope=scope)) if scope["type"] == "http" else None
        await (respond(refusal) if refusal else self.app)(scope, receive, send)


class NoAnswer(Response):
    """Closes the connection of a request without an answer. It needs the transport in the state of the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection, and wait until the server knows."""
        scope["state"]["transport"].abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def respond(answer: Answer | None) -> Response:
    """Return the response of FastAPI."""
    if answer is None:
        return NoAnswer()
    return Response(answer.body, answer.status, answer.headers)
