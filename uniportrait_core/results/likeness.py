"""Likeness: how much the faces of a picture look like the people who should be in it (paper section 4.1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

NOT_FOUND = 0.0  # score of a person for whom the picture has no face left


@dataclass(frozen=True)
class Likeness:
    """The people of one picture.

    Attributes:
        faces: for each person the number of the face that is theirs, None where no face is left.
        scores: for each person the cosine similarity to that face, −1..1; 0 where no face is left.
        shown: for each face the person whom it shows, None where it shows none of them.
        blending: how much the faces look like each other, 0..1 (`blending` below); None with fewer than two.
    """

    faces: tuple[int | None, ...]
    scores: tuple[float, ...]
    shown: tuple[int | None, ...]
    blending: float | None = None

    @property
    def lowest(self) -> float:
        """The score of the person who is hit worst."""
        return min(self.scores)

    @property
    def face_sim(self) -> float:
        """The paper's Face Sim of the picture, 0..1: the lowest score, where less than 0 counts 0."""
        return max(self.lowest, 0.0)

    @property
    def twice(self) -> tuple[int, ...]:
        """The people who are on two faces or more."""
        return tuple(person for person in range(len(self.faces)) if self.shown.count(person) > 1)

    @property
    def owners(self) -> tuple[int | None, ...]:
        """For each face the person whose it is; None where it is left over."""
        return tuple(self.faces.index(face) if face in self.faces else None for face in range(len(self.shown)))

    @property
    def labels(self) -> list[str]:
        """For each face in words whose it is, and whose it looks like if that is somebody else."""
        return [self._label(*pair) for pair in zip(self.owners, self.shown, strict=True)]

    @property
    def sentence(self) -> str:
        """All of it in words."""
        people = []
        for person, (face, score) in enumerate(zip(self.faces, self.scores, strict=True)):
            twice = " (on two faces)" if person in self.twice else ""
            people.append(f"person {person + 1} {'not found' if face is None else f'{score:.2f}'}{twice}")
        alike = "" if self.blending is None else f", blending {self.blending:.2f}"
        return f"{', '.join(people)}; lowest {self.lowest:.2f}{alike}"

    def _label(self, owner: int | None, shown: int | None) -> str:
        again = "" if shown in (None, owner) else f"person {shown + 1} again"
        if owner is None:
            return again or "nobody"
        return f"person {owner + 1}: {self.scores[owner]:.2f}" + (f", {again}" if again else "")


def judge(faces: Tensor, people: Tensor, threshold: float) -> Likeness:
    """Give each face to one person at most and each person one face at most, the most similar pair first.

    Args:
        faces: embeddings of the faces in a picture, of length 1, (faces, dim); there may be none.
        people: embeddings of the people, of length 1, (people, dim).
        threshold: a face that is closest to a person, and at least this similar, shows that person.
    """
    similarity = faces @ people.mT
    owned: list[int | None] = [None] * len(people)
    scores = [NOT_FOUND] * len(people)
    for pair in similarity.flatten().argsort(descending=True, stable=True).tolist():
        face, person = divmod(pair, len(people))
        if owned[person] is None and face not in owned:
            owned[person], scores[person] = face, similarity[face, person].item()
    highest, closest = similarity.max(dim=1)
    shown = (
        person if score >= threshold else None for score, person in zip(highest.tolist(), closest.tolist(), strict=True)
    )
    return Likeness(tuple(owned), tuple(scores), tuple(shown), blending(faces))


def blending(faces: Tensor) -> float | None:
    """How much the faces of a picture look like each other: the paper's BS, which it does not define.

    Taken here as the mean cosine similarity of all pairs of faces, where less than 0 counts 0 as in Face Sim.

    Args:
        faces: embeddings, of length 1, (faces, dim).

    Returns:
        0..1; None with fewer than two faces.
    """
    if len(faces) < 2:
        return None
    first, second = torch.triu_indices(len(faces), len(faces), offset=1, device=faces.device)
    return (faces[first] * faces[second]).sum(dim=-1).clamp(min=0).mean().item()
