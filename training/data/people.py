"""Other photos of a person, and people who are not in a picture, found in the index."""

import numpy as np

from .index import UNKNOWN, Index

TRIES = 16  # of a stranger, among pictures that may be of the same person again


class People:
    """Whose faces are where."""

    def __init__(self, index: Index):
        self._index = index
        self._by_person = np.argsort(index.identity, kind="stable")
        self._sorted = index.identity[self._by_person]

    def picture_of(self, face: int) -> tuple[int, int]:
        """The picture that a face is in, and its number among the picture's faces."""
        picture = int(np.searchsorted(self._index.first_face, face, side="right")) - 1
        return picture, face - int(self._index.first_face[picture])

    def another_photo(self, picture: int, dice: np.random.Generator) -> tuple[int, int] | None:
        """Picture and face of the same person, where a picture of one person has a name and there is another."""
        ((person, *others), faces) = self._of(picture)
        if others or person == UNKNOWN:
            return None
        start, end = np.searchsorted(self._sorted, [person, person + 1])
        found = self._by_person[start:end]
        found = found[(found < faces.start) | (found >= faces.stop)]
        return self.picture_of(int(dice.choice(found))) if len(found) else None

    def stranger(self, picture: int, dice: np.random.Generator) -> tuple[int, int] | None:
        """Picture and face of somebody who is not in a picture.

        A face without a name, in another picture, is taken for a stranger's.
        """
        people, faces = self._of(picture)
        for face in dice.integers(len(self._index.identity), size=TRIES).tolist():
            person = self._index.identity[face]
            if face not in faces and (person == UNKNOWN or person not in people):
                return self.picture_of(face)
        return None

    def _of(self, picture: int) -> tuple[list[int], range]:
        start, end = self._index.first_face[picture : picture + 2].tolist()
        return self._index.identity[start:end].tolist(), range(start, end)
