"""Tells the front end which published model files are not here, and how to get them."""

from collections.abc import Collection

import folder_paths
from aiohttp import web

from ..models.detector_files import insightface_packs
from ..models.get_command import get_command, published_files
from .json_requests import answering, json_object
from .refusal import RequestRefusedError

ROUTE = "/uniportrait/missing_files"


def missing_files(names: Collection[str]) -> list[str]:
    """Those of the names that are published files which no folder of this host has."""
    wanted = [file for file in published_files() if file["name"] in names]
    packs = insightface_packs() if any("members" in file for file in wanted) else {}
    return [
        file["name"]
        for file in wanted
        if not (file["name"] in packs if "members" in file else _is_there(file["folder"], file["name"]))
    ]


def add_missing_files_route(routes: web.RouteTableDef) -> None:
    """Answer `{"names": [name, …]}` at `ROUTE` with `{"missing": [name, …], "command": what gets these}`."""
    routes.post(ROUTE)(answering(_answer))


async def _answer(request: web.Request) -> web.Response:
    names = (await json_object(request)).get("names")
    if not isinstance(names, list):
        raise RequestRefusedError(400, "names is no list.", "Send the names of files.")
    missing = missing_files([name for name in names if isinstance(name, str)])
    return web.json_response({"missing": missing, "command": get_command(missing)})


def _is_there(folder: str, name: str) -> bool:
    return folder_paths.get_full_path(folder, name) is not None
