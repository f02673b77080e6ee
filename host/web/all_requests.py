"""All routes of the pack on the host's server."""

from typing import Any

from .live_viewer import add_live_route
from .missing_files import add_missing_files_route
from .people_requests import add_people_routes


def add_routes(server: Any) -> None:
    """Add them to a `PromptServer`."""
    add_people_routes(server.routes)
    add_missing_files_route(server.routes)
    add_live_route(server)
