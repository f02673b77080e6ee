"""The routes for saved people, thin: they check how a request comes, and call functions on folders.

Nothing is written by GET, and what writes takes JSON alone: a page of another site cannot send that without asking
first, which the host answers only where `--enable-cors-header` allows it; the host's own check of origins comes before.
Saved people lie in the output folder, which the host shares among all its users, with `--multi-user` as well, and so
does this. File system work is done in a thread, so that the server goes on answering.
"""

import asyncio
from pathlib import Path

import folder_paths
from aiohttp import web

from ..models.folders import FACES, faces_output_folder
from . import saved_people, thumbnails
from .file_names import parts_of
from .json_requests import answering, json_object
from .refusal import RequestRefusedError

PEOPLE = "/uniportrait/people"
MOST_FILES = 5_000  # to delete at once


def add_people_routes(routes: web.RouteTableDef) -> None:
    """Add the routes to those that the host serves, which it does under `/` and `/api`."""
    routes.get(PEOPLE)(answering(_list))
    routes.get(f"{PEOPLE}/thumbnail")(answering(_thumbnail))
    routes.post(f"{PEOPLE}/rename")(answering(_rename))
    routes.post(f"{PEOPLE}/delete")(answering(_delete))


async def _list(_: web.Request) -> web.Response:
    people = await asyncio.to_thread(saved_people.list_people, *_folders())
    return web.json_response({"people": people}, headers={"Cache-Control": "no-cache"})


async def _thumbnail(request: web.Request) -> web.Response:
    person = thumbnails.face_number(request.query.get("person", "0"))
    path = await asyncio.to_thread(saved_people.find_file, _folders()[0], request.query.get("file"))
    version = saved_people.version(path.stat())
    # The list gives each file with its version: under an address with that, a picture never changes.
    lasting = request.query.get("version") == version
    headers = {
        "Cache-Control": f"private, {'max-age=604800, immutable' if lasting else 'no-cache'}",
        "ETag": f'"{version}-{person}"',
        "X-Content-Type-Options": "nosniff",
    }
    if any(f'"{tag.value}"' == headers["ETag"] for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    picture = await asyncio.to_thread(thumbnails.jpeg, path, person)
    return web.Response(body=picture, content_type="image/jpeg", headers=headers)


async def _rename(request: web.Request) -> web.Response:
    body = await json_object(request)
    file = await asyncio.to_thread(saved_people.rename, *_folders(), body.get("file"), body.get("name"))
    return web.json_response({"file": file})


async def _delete(request: web.Request) -> web.Response:
    files = (await json_object(request)).get("files")
    if not isinstance(files, list) or not 0 < len(files) <= MOST_FILES:
        raise RequestRefusedError(400, "files is no list of people.", f"Choose 1 to {MOST_FILES} of them.")
    return web.json_response(await asyncio.to_thread(_delete_all, files))


def _delete_all(files: list[object]) -> dict[str, list]:
    """Delete what can be deleted; of a list with a name that is none, nothing is."""
    for file in files:
        parts_of(file)
    deleted, failed = [], []
    for file in files:
        try:
            saved_people.delete(*_folders(), file)
            deleted.append(file)
        except RequestRefusedError as refusal:
            failed.append({"file": file, "error": refusal.cause, "cure": refusal.cure})
    return {"deleted": deleted, "failed": failed}


def _folders() -> tuple[list[Path], Path]:
    """The folders that Load Face ID reads, and the one of them that Save Face ID writes to."""
    return [Path(folder) for folder in folder_paths.get_folder_paths(FACES)], faces_output_folder()
