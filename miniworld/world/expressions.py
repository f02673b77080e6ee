"""What a face does."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Expression:
    """Changes to a resting face.

    Attributes:
        brow_lift: of the brows, in units of the head.
        brow_tilt: of their inner ends, −1 down (angry), 1 up (sad).
        eye_open: of the lids, in relation to rest.
        smile: of the mouth's corners, −1 down, 1 up.
        mouth_open: height of the open mouth in units of the head; 0 is closed.
        mouth_wide: width of the mouth in relation to rest.
    """

    brow_lift: float = 0
    brow_tilt: float = 0
    eye_open: float = 1
    smile: float = 0.1
    mouth_open: float = 0
    mouth_wide: float = 1


EXPRESSIONS = {
    "calm": Expression(),
    "smiling": Expression(brow_lift=1, eye_open=0.92, smile=1, mouth_wide=1.2),
    "laughing": Expression(brow_lift=3, eye_open=0.62, smile=0.9, mouth_open=15, mouth_wide=1.3),
    "sad": Expression(brow_lift=2, brow_tilt=1, eye_open=0.8, smile=-1, mouth_wide=0.92),
    "angry": Expression(brow_lift=-3.5, brow_tilt=-1.2, eye_open=0.78, smile=-0.55, mouth_wide=0.95),
    "surprised": Expression(brow_lift=8, brow_tilt=0.2, eye_open=1.3, smile=0, mouth_open=19, mouth_wide=0.62),
}
"""Expressions by the word for them in captions."""
