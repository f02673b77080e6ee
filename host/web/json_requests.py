"""How the pack's routes take JSON, and answer with JSON also when something is wrong."""

import json
import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from aiohttp import web

from ...uniportrait_core.errors import UniPortraitError
from .refusal import RequestRefusedError

LARGEST_BODY = 1_000_000  # bytes

Handler = Callable[[web.Request], Awaitable[web.Response]]
logger = logging.getLogger("uniportrait")


async def json_object(request: web.Request) -> dict[str, Any]:
    """The JSON object that a request brings. Raises RequestRefusedError where it is large, or no such thing."""
    if request.content_type != "application/json":
        raise RequestRefusedError(415, f"The request comes as {request.content_type}.", "Send application/json.")
    content = bytearray()
    async for chunk in request.content.iter_chunked(1 << 16):
        content += chunk
        if len(content) > LARGEST_BODY:
            raise RequestRefusedError(413, f"The request is larger than {LARGEST_BODY} bytes.", "Choose fewer people.")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise RequestRefusedError(400, "The request is no JSON object.", 'Send an object, such as {"file": …}.')
    return body


def answering(handler: Handler) -> Handler:
    """A handler whose errors become JSON: cause and cure."""

    @wraps(handler)
    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except RequestRefusedError as refusal:
            return _error(refusal.status, refusal.cause, refusal.cure)
        except UniPortraitError as error:
            return _error(500, str(error), "")
        except OSError as error:
            logger.warning("%s: %s", request.path, error)
            return _error(500, f"The disk did not answer: {error.strerror or error}.", "Refresh the list.")

    return answer


def _error(status: int, cause: str, cure: str) -> web.Response:
    return web.json_response({"error": cause, "cure": cure}, status=status)
