"""Face Sim and BS on made-up embeddings; greedy matching against all permutations."""

from itertools import permutations

import pytest
import torch
import torch.nn.functional as F

from uniportrait_core.results.likeness import judge


def unit(*rows) -> torch.Tensor:
    return F.normalize(torch.tensor(rows, dtype=torch.float64), dim=-1)


def assignments(similarity: torch.Tensor) -> list[list[float]]:
    """The scores of all one-to-one assignments of faces to people, where there are as many of both or more faces."""
    count = similarity.shape[1]
    return [
        [similarity[face, person].item() for person, face in enumerate(faces)]
        for faces in permutations(range(len(similarity)), count)
    ]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_greedy_matching_is_optimal_where_everybody_has_a_face_that_is_most_like_them(count):
    """Faces near their people: then greedy, the largest sum and the largest minimum are the same assignment."""
    generator = torch.Generator().manual_seed(count)
    for _ in range(50):
        people = F.normalize(torch.randn(count, 64, generator=generator, dtype=torch.float64), dim=-1)
        noise = torch.randn(count + 1, 64, generator=generator, dtype=torch.float64)
        near = torch.cat((people, torch.zeros(1, 64, dtype=torch.float64)))
        faces = F.normalize(near + 0.08 * noise, dim=-1)[torch.randperm(count + 1, generator=generator)]
        everything = assignments(faces @ people.mT)
        found = judge(faces, people, 0.4)
        assert list(found.scores) == pytest.approx(max(everything, key=sum))
        assert found.lowest == pytest.approx(max(min(scores) for scores in everything))


def test_where_greedy_differs_from_the_optimum():
    """A face that both people look like goes to the nearer one, and the other is left with little. The optimum would
    take the second best for the one and have more in all; the paper's protocol is the greedy one."""
    people = torch.eye(2, 4, dtype=torch.float64)
    faces = torch.tensor([[0.7, 0.65, 0.3, 0], [0.6, 0.1, 0, 0.79]], dtype=torch.float64)
    found = judge(F.normalize(faces, dim=-1), people, 0.4)
    similarity = F.normalize(faces, dim=-1) @ people.mT
    best = max(assignments(similarity), key=sum)
    assert found.faces == (0, 1) and found.scores == pytest.approx((similarity[0, 0].item(), similarity[1, 1].item()))
    assert best == pytest.approx([similarity[1, 0].item(), similarity[0, 1].item()])
    assert sum(best) > sum(found.scores) and min(best) > found.lowest


def test_face_sim_is_the_lowest_and_never_below_zero():
    people = unit([1, 0, 0], [0, 1, 0])
    assert judge(unit([1, 0, 0], [0, 4, 3]), people, 0.4).face_sim == pytest.approx(0.8)
    assert judge(unit([1, 0, 0]), people, 0.4).face_sim == 0, "somebody has no face"
    assert judge(torch.zeros(0, 3, dtype=torch.float64), people, 0.4).face_sim == 0
    opposite = judge(unit([-1, 0, 0]), people[:1], 0.4)
    assert opposite.face_sim == 0 and opposite.lowest == pytest.approx(-1)


def test_blending_is_the_mean_of_all_pairs_none_below_zero():
    people = unit([1, 0, 0])
    faces = unit([1, 0, 0], [0.6, 0.8, 0], [-1, 0, 0])  # cosines 0.6, -1, -0.6
    assert judge(faces, people, 0.4).blending == pytest.approx((0.6 + 0 + 0) / 3)
    assert judge(unit([1, 0, 0], [1, 0, 0]), people, 0.4).blending == pytest.approx(1)
    assert judge(faces[:1], people, 0.4).blending is None
    assert judge(faces[:0], people, 0.4).blending is None
