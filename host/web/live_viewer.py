"""The front end as a viewer of who is where: it asks to be shown, and gets a message per step.

That a front end looks is noted with its websocket connection, in the host's own notes of it, and so ends with it.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Any

import server as comfy_server
from aiohttp import web
from comfy_execution.progress import get_progress_state
from comfy_execution.utils import get_executing_context
from PIL import Image
from torch import Tensor

from ...uniportrait_core.results.drawing import COLOURS
from ..unet.live_routing import Step
from .json_requests import answering, json_object
from .refusal import RequestRefusedError

ROUTE = "/uniportrait/live_routing"
BEGIN, STEP = "uniportrait.routing.begin", "uniportrait.routing.step"  # messages
LOOKS = "uniportrait_live_routing"  # in the host's notes of a connection
FACE_SIDE = 64  # pixels of a face beside the map


def add_live_route(server: Any) -> None:
    """Let front ends tell the host's server whether they look.

    They POST `{"client_id": their id, "looks": true or false}`.
    """

    async def look(request: web.Request) -> web.Response:
        asked = await json_object(request)
        client, looks = asked.get("client_id"), asked.get("looks")
        if not isinstance(client, str) or not isinstance(looks, bool):
            raise RequestRefusedError(400, "client_id is no text, or looks is not true or false.", "Send both.")
        connection = server.sockets_metadata.get(client)
        if connection is None:
            raise RequestRefusedError(404, "There is no connection of this client_id.", "Connect first.")
        connection[LOOKS] = looks
        return web.json_response({"looks": looks})

    server.routes.post(ROUTE)(answering(look))


def viewer_at(hidden: Any) -> Callable[[], "FrontEnd | None"]:
    """What finds the front end that looks at a node; `hidden` are the node's hidden inputs, or None."""
    return partial(_find_viewer, getattr(hidden, "unique_id", None))


def _find_viewer(node: str | None) -> "FrontEnd | None":
    server = getattr(comfy_server.PromptServer, "instance", None)
    if node is None or server is None or server.client_id is None:
        return None
    front_end = FrontEnd(server, server.client_id, node)
    return front_end if front_end.looks() else None


class FrontEnd:
    """The front end that has queued the prompt, and in it a node."""

    def __init__(self, server: Any, client: str, node: str):
        context = get_executing_context()
        dynamic = get_progress_state().dynprompt
        # A node that another one has put in its place is shown at that one, as the host does it.
        self.about = {"node": dynamic.get_display_node_id(node), "prompt_id": context and context.prompt_id}
        self.server, self.client = server, client
        self.people: list[dict[str, str | None]] = []
        self.told: Mapping[str, Any] | None = None  # the connection that knows of the people

    def looks(self) -> bool:
        connection = self.server.sockets_metadata.get(self.client)
        return bool(connection and connection.get(LOOKS))

    def begin(self, faces: Sequence[Tensor | None]) -> None:
        self.people = [
            {"colour": "#{:02x}{:02x}{:02x}".format(*COLOURS[number % len(COLOURS)]), "face": _picture(face)}
            for number, face in enumerate(faces)
        ]
        self._introduce()

    def show(self, step: Step) -> None:
        if self.server.sockets_metadata.get(self.client) is not self.told:  # the page was loaded anew
            self._introduce()
        _, height, width = step.map.shape
        self._send(
            STEP,
            step=step.number,
            steps=step.count,
            height=height,
            width=width,
            map=base64.b64encode(step.map.tobytes()).decode("ascii"),
            shares=step.shares,
            missing=step.missing,
        )

    def _introduce(self) -> None:
        self.told = self.server.sockets_metadata.get(self.client)
        self._send(BEGIN, people=self.people)

    def _send(self, message: str, **content: Any) -> None:
        self.server.send_sync(message, {**self.about, **content}, self.client)


def _picture(face: Tensor | None) -> str | None:
    """A face, (height, width, 3), uint8, as the address of a small picture."""
    if face is None:
        return None
    picture, file = Image.fromarray(face.cpu().numpy()), BytesIO()
    picture.thumbnail((FACE_SIDE, FACE_SIDE))
    picture.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
