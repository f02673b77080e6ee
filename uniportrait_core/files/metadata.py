"""What trained weights say of themselves, as strings in the metadata of a safetensors file.

`uniportrait.base` names the kind of model that they are for, `uniportrait.features` the features of a face that they
read, `uniportrait.tokens` what their tokens show. The published files say nothing: they are what the defaults are.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ..embedding.feature_choice import FeatureChoice
from ..errors import UniPortraitError, named, reason

FORMAT = "1"
FACE, PICTURE = "face", "ip-adapter"
TOKENS = {FACE: "faces", PICTURE: "pictures through a plain IP-Adapter"}
SD15_CONTEXT = 768
LONGEST_BASE = 60  # letters
MINI_WORLD = "the mini world"
BASES = {SD15_CONTEXT: "Stable Diffusion 1.5", 1024: "Stable Diffusion 2", 2048: "SDXL", 128: MINI_WORLD}


@dataclass(frozen=True)
class Metadata:
    """
    Attributes:
        base: kind of model that the weights are for, in words; None where they do not say.
        features: of a face that they read.
        tokens: what their tokens show, of `TOKENS`.
    """

    base: str | None = None
    features: FeatureChoice = FeatureChoice()
    tokens: str = FACE


def base_name(context: int) -> str:
    """The kind of model whose context, mostly text, is this wide, in words."""
    return BASES.get(context, f"{context}-wide text")


def read_metadata(path: Path) -> Metadata:
    """What a file of weights says of itself; a pickle says nothing.

    Raises:
        UniPortraitError: the format is another, or says what there is not.
    """
    try:
        with safe_open(path, "pt") as file:
            found = file.metadata() or {}
    except (SafetensorError, OSError):  # no such file, or a name that the library cannot open
        found = {}
    version = found.get("uniportrait.format")
    if version is None:
        return Metadata()
    if version != FORMAT:
        raise UniPortraitError(
            f"{named(path.name)} is of weight format '{named(version, 20)}', this pack reads format {FORMAT!r}. "
            "Update UniPortrait."
        )
    tokens, base = found.get("uniportrait.tokens", FACE), found.get("uniportrait.base")
    try:
        if base is not None and not (0 < len(base.strip()) <= LONGEST_BASE and base.isprintable()):
            raise ValueError(
                f"uniportrait.base is '{named(base, 20)}', needed is a name of {LONGEST_BASE} letters at most"
            )
        features = _features(found.get("uniportrait.features"))
        if tokens not in TOKENS:
            raise ValueError(f"uniportrait.tokens is '{named(tokens, 20)}', needed is one of {', '.join(TOKENS)}")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        detail = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UniPortraitError(
            f"{named(path.name)} says of itself what this pack does not know: {reason(detail)}. Export the weights "
            "again, or update UniPortrait."
        ) from error
    return Metadata(base, features, tokens)


def _features(text: str | None) -> FeatureChoice:
    if text is None:
        return FeatureChoice()
    choice = json.loads(text)
    return FeatureChoice(choice["intrinsic"], tuple(choice["structure"]))
