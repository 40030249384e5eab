"""A drawing from the page as the playground takes it: the image from there on, until another digit is chosen."""

import contextlib

import pytest
import torch
from traitlets import TraitError

from stncourse import normalize, theta_playground

SIZE = 42


@pytest.fixture
def game():
    return theta_playground(model="pretrained", index=5)


def drawing(seed=0):
    return torch.randint(256, (1, 1, SIZE, SIZE), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def send(playground, image=None, **hand):
    """What the page sends: bytes come as a memoryview; and the number of the last drawing with every message."""
    before = playground.drawn.hand
    number = before.get("number", 0) + 1
    sketch = before.get("sketch", 0) if image is None else number
    state = {"hand": {"theta": None, "number": number, "sketch": sketch, **hand}}
    if image is not None:
        state["drawing"] = memoryview(image) if isinstance(image, bytes) else image
    playground.drawn.set_state(state)


def as_bytes(image):
    return image.numpy().tobytes()


def test_a_drawing_is_the_image_and_what_is_sampled(game):
    image = drawing()
    send(game, as_bytes(image))
    assert game.image.dtype == torch.uint8
    assert torch.equal(game.image, image)
    assert game.drawn.images == as_bytes(image)
    assert (game.drawn.scene["label"], game.drawn.scene["sketch"], game.drawn.scene["heard"]) == (None, 1, 1)
    send(game, theta=[0.5, 0, 0, 0, 0.5, 0], by="STN")
    assert torch.equal(game.image, image)
    with torch.no_grad():
        grid = torch.nn.functional.affine_grid(torch.tensor([[[0.5, 0, 0], [0, 0.5, 0]]]), (1, 1, 28, 28), False)
        black = normalize(torch.zeros(1, 1, 1, 1, dtype=torch.uint8))
        inside = torch.nn.functional.grid_sample(normalize(image) - black, grid, align_corners=False) + black
    torch.testing.assert_close(game.frame.output, inside, rtol=0, atol=1e-4)


def test_what_python_has_is_its_own(game):
    image = drawing()
    send(game, as_bytes(image))
    game.image.zero_()
    assert torch.equal(game.image, image)


@pytest.mark.parametrize("choose", ["number", "another"])
def test_another_digit_forgets_the_drawing_for_good(game, choose):
    send(game, as_bytes(drawing()))
    if choose == "number":
        game.number.value = 7
    else:
        game.another.click()
    digit = game.digits.images[game.number.value][None]
    assert torch.equal(game.image, digit)
    assert game.drawn.scene["label"] == game.digits.labels[game.number.value]
    send(game, theta=[1, 0, 0.2, 0, 1, 0], by="hand")  # a move is no drawing
    assert torch.equal(game.image, digit)
    send(game, as_bytes(drawing(1)))
    assert torch.equal(game.image, drawing(1))


def test_nothing_drawn_gives_the_digit_back(game):
    send(game, as_bytes(drawing()))
    send(game, b"")
    assert torch.equal(game.image, game.digits.images[5:6])


@pytest.mark.parametrize("wrong", [b"\x01", bytes(28 * 28), bytes(SIZE * SIZE + 1), "abc", 1764, [1] * 1764, None, {}])
@pytest.mark.parametrize("drawn_before", [True, False])
def test_what_is_no_drawing_changes_nothing(game, wrong, drawn_before):
    if drawn_before:
        send(game, as_bytes(drawing()))
    before, theta = game.image, game.settings.theta
    with contextlib.suppress(TraitError):  # the kernel notes it in its log
        send(game, wrong)
    assert torch.equal(game.image, before)
    assert game.settings.theta == theta
    send(game, as_bytes(drawing(2)))  # and the next one counts
    assert torch.equal(game.image, drawing(2))


def test_only_the_first_of_several_digits_is_drawn():
    playground = theta_playground(model="pretrained", count=3)
    send(playground, as_bytes(drawing()))
    assert torch.equal(playground._images(), torch.cat([drawing(), playground.digits.images[1:3]]))


def test_a_drawing_is_no_attempt_and_no_help(game):
    send(game, as_bytes(drawing()))
    send(game, theta=[0.9, 0, 0, 0, 0.9, 0], by="STN", look=True, before=[1, 0, 0, 0, 1, 0])
    send(game, theta=[0.8, 0, 0, 0, 0.8, 0], by="STN")
    assert game.attempts == {}
    game.number.value = 5
    assert game._game.score.helped == set()
