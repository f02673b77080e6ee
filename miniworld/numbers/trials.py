"""What is drawn to be measured."""

from dataclasses import dataclass

import numpy as np

from ..world.captions import caption
from ..world.picture import picture
from ..world.scene import Scene, compose
from ..world.seeds import TEST

PEOPLE = 200


@dataclass(frozen=True)
class Trial:
    """A picture that is asked for, and which a drawing shows as it should be.

    Attributes:
        scene: with people that no network has met.
        seed: of the noise.
    """

    scene: Scene
    seed: int

    @property
    def people(self) -> tuple[int, ...]:
        return tuple(look.person for look in self.scene.looks)

    @property
    def prompt(self) -> str:
        return caption(self.scene)

    def drawing(self, size: int) -> np.ndarray:
        """RGB, (size, size, 3), uint8."""
        return picture(self.scene, size)


def trials(company: int, people: int = PEOPLE) -> list[Trial]:
    """Each of some people once, with others who are as many in every picture.

    Args:
        company: people in a picture.
        people: how many in all; who is left over is left out.
    """
    starts = range(0, people - company + 1, company)
    scenes = (compose(TEST[start : start + company], f"trial {company} {start}", "illustration") for start in starts)
    return [Trial(scene, number) for number, scene in enumerate(scenes)]
