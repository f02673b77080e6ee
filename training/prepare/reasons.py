"""Why pictures are left out."""

DUPLICATE = "duplicate key"
NO_CAPTION = "no caption"
CORRUPT = "corrupt"
TINY = "tiny"
NO_FACE = "no face"
SMALL_FACE = "small face"
CROWDED = "crowded"
BLURRED = "blurred"

REASONS = {
    DUPLICATE: "another picture has the same name but for its ending",
    NO_CAPTION: "no text beside it, no row, or an empty one",
    CORRUPT: "it cannot be read to its end",
    TINY: "its shorter side is below --min-size",
    NO_FACE: "no face of at least --min-confidence",
    SMALL_FACE: "all faces are below --min-face",
    CROWDED: "more people than --max-people",
    BLURRED: "a face is less sharp than --min-sharpness",
}
"""What each means, in the order in which pictures are examined."""


class LeftOut(Exception):  # noqa: N818 - nothing is wrong with the program
    """A picture is not good enough, for one of `REASONS`."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason
