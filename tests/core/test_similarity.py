"""Faces and people are matched one-to-one, best pair first."""

import pytest
import torch

from uniportrait_core.results.likeness import judge


def faces(*rows: tuple[float, ...]) -> torch.Tensor:
    """Faces whose similarity to person n is the n-th number; people are the axes."""
    similarities = torch.tensor(rows, dtype=torch.float64)
    rest = (1 - similarities.square().sum(1, keepdim=True)).sqrt()
    return torch.cat((similarities, rest), dim=1)


def people(count: int) -> torch.Tensor:
    return torch.eye(count, count + 1, dtype=torch.float64)


def test_each_person_gets_the_face_that_is_most_like_them():
    result = judge(faces((0.1, 0.8), (0.7, 0.2), (0.0, 0.3)), people(2), 0.4)
    assert result.faces == (1, 0)
    assert result.scores == pytest.approx((0.7, 0.8)) and result.lowest == pytest.approx(0.7)
    assert result.shown == (1, 0, None) and result.twice == ()


def test_the_best_pair_comes_first_and_the_other_takes_what_is_left():
    """Face 0 is the best of both people; it goes to the person who is nearer."""
    result = judge(faces((0.6, 0.7), (0.5, 0.1)), people(2), 0.4)
    assert result.faces == (1, 0) and result.scores == pytest.approx((0.5, 0.7))
    result = judge(faces((0.7, 0.6), (0.5, 0.1)), people(2), 0.4)
    assert result.faces == (0, 1) and result.scores == pytest.approx((0.7, 0.1))


def test_a_person_on_two_faces():
    result = judge(faces((0.8, 0.1), (0.6, 0.2)), people(2), 0.4)
    assert result.faces == (0, 1) and result.shown == (0, 0) and result.twice == (0,)
    assert result.lowest == pytest.approx(0.2)
    assert judge(faces((0.8, 0.1), (0.6, 0.2)), people(2), 0.7).twice == ()


def test_people_for_whom_there_is_no_face():
    result = judge(faces((0.1, 0.8, 0.3)), people(3), 0.4)
    assert result.faces == (None, 0, None) and result.scores == pytest.approx((0, 0.8, 0)) and result.lowest == 0


def test_a_picture_without_faces():
    result = judge(torch.zeros(0, 3, dtype=torch.float64), people(2), 0.4)
    assert result.faces == (None, None) and result.scores == (0, 0) and result.shown == result.twice == ()


def test_one_person_takes_the_nearest_face_even_if_it_is_unlike():
    result = judge(faces((-0.5,), (-0.2,)), people(1), 0.4)
    assert result.faces == (1,) and result.scores == pytest.approx((-0.2,)) and result.shown == (None, None)
