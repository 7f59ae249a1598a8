"""TensorFlow Serving's REST routes for one model, and a page to try it, as an ASGI application."""
from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any

from absl import logging
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from serving import rest_codec, try_page
from serving.errors import Code, RequestError, cut_for_reply, invalid
from serving.model_store import ModelStore

MAX_BODY_BYTES = 128 * 2**20
_MAX_VERSION = 2**63 - 1


class _NameConvertor(Convertor):
    """A model's name or version in a path. The slash and the colon end it."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _NameConvertor())


def application(store: ModelStore, pool: concurrent.futures.Executor, *, cors: bool = False) -> Starlette:
    """Returns the application that answers requests for one model.

    Args:
      store: holds the model's versions.
      pool: runs the model, so that the event loop stays free.
      cors: whether pages of all origins may read the replies in a browser.
    """
    endpoints = _Endpoints(store, pool)
    routes = [Route("/", endpoints.page, methods=["GET"])]
    for path in ("/v1/models/{name:name}", "/v1/models/{name:name}/versions/{version:name}"):
        routes += [
            Route(f"{path}:predict", endpoints.predict, methods=["POST"]),
            Route(f"{path}/metadata", endpoints.metadata, methods=["GET"]),
            Route(path, endpoints.status, methods=["GET"]),
        ]
    allowed = {"allow_origins": ["*"], "allow_methods": ["GET", "POST"], "allow_headers": ["Content-Type"]}
    app = Starlette(
        routes=routes,
        middleware=[Middleware(CORSMiddleware, **allowed)] if cors else [],
        exception_handlers={
            RequestError: lambda _, error: _failure(error.http_status, error.message),
            HTTPException: _refuse_route,
            ClientDisconnect: lambda *_: Response(status_code=400),  # nobody reads it
        },
    )
    app.router.redirect_slashes = False
    return app


class _Endpoints:
    """Answers the routes. A path without a version asks the newest one."""

    def __init__(self, store: ModelStore, pool: concurrent.futures.Executor):
        self._store = store
        self._pool = pool

    async def predict(self, request: Request) -> Response:
        """Runs the model on the inputs in the body."""
        name, version = _target(request)
        body = await _read_body(request)
        loop = asyncio.get_running_loop()
        try:
            content = await loop.run_in_executor(self._pool, self._predict, body, name, version)
        except asyncio.CancelledError:  # the server has waited long enough for its last requests
            raise RequestError(Code.UNAVAILABLE, "The server is shutting down.") from None
        except RequestError:
            raise
        except Exception as error:  # noqa: BLE001 - the caller waits for an answer, whatever happened
            logging.exception("A request failed.")
            raise RequestError(Code.INTERNAL, f"The server failed: {type(error).__name__}") from None
        return Response(content, media_type="application/json")

    def _predict(self, body: bytes, name: str, version: int | None) -> bytes:
        document = rest_codec.parse(body)
        signature = rest_codec.signature_name(document)
        _, model = self._store.model(name, version)
        tensors, is_row = rest_codec.read_tensors(document, model.inputs(signature))
        return rest_codec.write_tensors(model.run(signature, tensors), row=is_row)

    async def page(self, request: Request) -> Response:
        """Returns the page on which a user tries the model."""
        del request
        version, model = self._store.model(self._store.name)
        page = try_page.render(self._store.name, version, model.map_extent)
        return HTMLResponse(page, headers=try_page.HEADERS)

    async def metadata(self, request: Request) -> Response:
        """Describes the signatures of the version that answers."""
        name, version = _target(request)
        number, model = self._store.model(name, version)
        return JSONResponse(
            {
                "model_spec": {"name": name, "signature_name": "", "version": str(number)},
                "metadata": {"signature_def": {"signature_def": model.metadata()}},
            }
        )

    async def status(self, request: Request) -> Response:
        """Lists the versions and their states."""
        rows: list[dict[str, Any]] = []
        for number, state in self._store.states(*_target(request)).items():
            status = {"error_code": state.code.name, "error_message": state.message}
            rows.append({"version": str(number), "state": state.state, "status": status})
        return JSONResponse({"model_version_status": rows})


def _target(request: Request) -> tuple[str, int | None]:
    """Returns the model's name and the version, None if the path names none."""
    name, version = request.path_params["name"], request.path_params.get("version")
    if version is None:
        return name, None
    if not (version.isascii() and version.isdigit()):
        raise HTTPException(404)
    # The length is checked first: int() refuses thousands of digits with an error of its own.
    if len(version) > 30 or int(version) > _MAX_VERSION:
        raise invalid(f"Expected a version number below 2**63, but got {version}.")
    return name, int(version)


async def _read_body(request: Request) -> bytes:
    """Returns the body of a request.

    Raises:
      HTTPException: status 413 if it is too large. The rest is read and dropped: a caller that is still sending would
        not see the reply.
    """
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            body += chunk
        else:
            body.clear()
    if size > MAX_BODY_BYTES:
        raise HTTPException(413, f"The request is larger than {MAX_BODY_BYTES // 2**20} MiB; send fewer images.")
    return bytes(body)


def _refuse_route(request: Request, error: HTTPException) -> Response:
    """Refuses a path or a method as TensorFlow Serving does: HTTP 400 below /v1/, else 404."""
    if error.status_code not in (404, 405):
        return _failure(error.status_code, error.detail)
    if request.url.path.startswith("/v1/"):
        return _failure(400, f"Malformed request: {request.method} {request.url.path}")
    return _failure(404, f"Expected a path below /v1/models, but got {request.url.path}")


def _failure(status: int, message: str) -> Response:
    return JSONResponse({"error": cut_for_reply(message)}, status)
