"""How a request is refused: with what is wrong, what to do, and the status of HTTP that says so to programs."""

from ...uniportrait_core.errors import UniPortraitError


class RequestRefusedError(UniPortraitError):
    """A request that is not carried out.

    Attributes:
        status: of the answer: 400 a name or body that is wrong, 403 not to be changed, 404 not there, 409 taken,
            413 too large, 415 not JSON, 500 the disk does not want to.
        cause: what was found against what is needed.
        cure: what to do.
    """

    def __init__(self, status: int, cause: str, cure: str) -> None:
        super().__init__(f"{cause} {cure}")
        self.status, self.cause, self.cure = status, cause, cure
