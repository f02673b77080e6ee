"""Tells the front end which published model files are not here, and how to get them."""

import folder_paths
from aiohttp import web
from server import PromptServer

from .detector_files import insightface_packs
from .get_command import get_command, published_files

ROUTE = "/uniportrait/missing_files"


def missing_files() -> list[str]:
    """Names of the published files that no folder of this host has, as the workflows name them."""
    packs = insightface_packs()
    return [
        file["name"]
        for file in published_files()
        if not (file["name"] in packs if "members" in file else _is_there(file["folder"], file["name"]))
    ]


def add_route() -> None:
    """Answer at `ROUTE` with the names, and with the command that gets all files: `{"missing": [...], "command": ...}`.

    Without a server, as in a process that only runs nodes, there is nobody to answer.
    """
    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.routes.get(ROUTE)(_answer)


async def _answer(_: web.Request) -> web.Response:
    return web.json_response({"missing": missing_files(), "command": get_command()})


def _is_there(folder: str, name: str) -> bool:
    return folder_paths.get_full_path(folder, name) is not None
