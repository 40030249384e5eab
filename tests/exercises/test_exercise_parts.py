"""What the exercises share: the classic mistakes make the mistake that they are named after, the inputs are fixed."""

import pytest
import torch

from stncourse.exercises import classic_mistakes as _classic
from stncourse.exercises import exercises_of, find
from stncourse.exercises import inputs as _inputs
from stncourse.exercises.engine.mistakes import Mistake
from stncourse.exercises.engine.questions import Question

SIZES = [(1, 1), (2, 3), (5, 4)]


def base_grid(size, align_corners=False):
    """The places (x, y) of an output's pixels, (H, W, 2)."""

    def ruler(count):
        if align_corners:
            return torch.linspace(-1, 1, count, dtype=torch.float64) if count > 1 else torch.zeros(1).double()
        return (2 * torch.arange(count, dtype=torch.float64) + 1) / count - 1

    return torch.cartesian_prod(ruler(size[0]), ruler(size[1])).view(*size, 2).flip(-1)


def applied(theta, places):
    """θ (2, 3) or (3, 3) to places (…, 2)."""
    x, y, *w = (row[0] * places[..., 0] + row[1] * places[..., 1] + row[2] for row in theta)
    return torch.stack([x, y], dim=-1) / (w[0][..., None] if w else 1)


def grid(theta, size, align_corners=False):
    return torch.stack([applied(one, base_grid(size, align_corners)) for one in theta])


AFFINE = _inputs.thetas(3, torch.float64, seed=7)
PROJECTIVE = _inputs.around(torch.eye(3), 3, 0.15, **_inputs.seeded(7, torch.float64))
both_kinds = pytest.mark.parametrize("theta", [AFFINE, PROJECTIVE], ids=["affine", "projective"])
every_size = pytest.mark.parametrize("size", SIZES, ids=str)


@both_kinds
@every_size
def test_an_inverted_theta_is_undone_by_theta(theta, size):
    wrong = _classic.theta_inverted(grid)(theta, size)
    for one, places in zip(theta, wrong, strict=True):
        torch.testing.assert_close(applied(one, places), base_grid(size))


@every_size
def test_a_transposed_theta_turns_the_other_way_and_keeps_its_shift(size):
    wrong = _classic.theta_transposed(grid)(AFFINE, size)
    for ((a, b, x), (c, d, y)), places in zip(AFFINE, wrong, strict=True):
        expected = applied(torch.stack([torch.stack([a, c, x]), torch.stack([b, d, y])]), base_grid(size))
        torch.testing.assert_close(places, expected)
    wrong = _classic.theta_transposed(grid)(PROJECTIVE, size)
    for one, places in zip(PROJECTIVE, wrong, strict=True):
        torch.testing.assert_close(places, applied(one.T, base_grid(size)))


@every_size
def test_a_negated_shift_is_off_by_twice_the_shift(size):
    off = grid(AFFINE, size) - _classic.shift_negated(grid)(AFFINE, size)
    torch.testing.assert_close(off, (2 * AFFINE[:, None, None, :, 2]).expand_as(off))


@both_kinds
@every_size
def test_the_wrong_ruler_the_wrong_order_and_the_wrong_side(theta, size):
    wrong = _classic.other_align_corners(grid)(theta, size)
    torch.testing.assert_close(wrong, grid(theta, size, True))
    wrong = _classic.xy_swapped(grid)(theta, size)
    torch.testing.assert_close(wrong[..., 0], grid(theta, size)[..., 1])
    torch.testing.assert_close(wrong[..., 1], grid(theta, size)[..., 0])
    height, width = size
    torch.testing.assert_close(_classic.hw_transposed(grid)(theta, size), grid(theta, (width, height)))


@pytest.mark.parametrize("name", ["thetas", "around", "in_both_types"])
def test_inputs_are_the_same_each_time_and_take_nothing_from_the_global_generator(name):
    make = {
        "thetas": lambda: [_inputs.thetas(2, dtype, seed=3) for dtype in _inputs.FLOATS],
        "around": lambda: [_inputs.around([1.0, 2.0], 3, 0.1, **_inputs.seeded(3, d)) for d in _inputs.FLOATS],
        "in_both_types": lambda: [torch.rand(n, **random) for n, random in _inputs.in_both_types([2, 5])],
    }[name]
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = make(), make()
    assert torch.equal(torch.rand(1), expected)
    assert all(map(torch.equal, first, second))
    assert {tensor.dtype for tensor in first} == set(_inputs.FLOATS)


def test_noise_lies_around_its_center():
    center = torch.tensor([[3.0, -2.0]])
    many = _inputs.around(center, 4000, 0.5, **_inputs.seeded(1, torch.float64))
    assert many.shape == (4000, 1, 2)
    torch.testing.assert_close(many.mean(0), center.double(), atol=0.05, rtol=0)
    torch.testing.assert_close(many.std(0), torch.full_like(center, 0.5, dtype=torch.float64), atol=0.05, rtol=0)


def test_mistakes_are_written_under_their_names_and_kept_in_order():
    table = {"one": (1, "It is one."), "two": (2, "It is two.")}
    question = Question(
        name="q", title="", task="", hints=(), variable="x", answer=lambda: 3, explanation="", mistakes=table
    )
    assert question.mistakes == (Mistake("one", 1, "It is one."), Mistake("two", 2, "It is two."))


def test_an_exercise_knows_its_notebook_and_stays_the_same_object():
    assert find("which_way").notebook == "03"
    assert find("which_way") is exercises_of("03")[0]
