"""Finding what images have in common: where the digits are, boxes, the loss, the network, and a training that works."""

import pytest
import torch

from stncourse import DigitCNN, fit, load_digits, normalize
from stncourse.paper import named
from stncourse.paper.colocalisation import BUDGETS, COLUMNS, MODEL, load_colocalisation, locate
from stncourse.paper.colocalisation_networks import (
    CoLocaliser,
    Encoder,
    HeatMapLocalization,
    Located,
    colocalisation_loss,
    load_encoder,
    triplet_hinge,
)
from stncourse.paper.hidden import CANVAS, corloc, found, frame_boxes, hidden_digits, hide_digits, overlap


@pytest.fixture(scope="module")
def digits():
    return load_digits("test", source="offline")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# Images


def test_the_box_is_where_the_digit_is(digits):
    hidden = hide_digits(digits.images[:40], 50, generator=seeded())
    assert hidden.images.shape == (50, 1, 84, 84)
    for number, (image, box) in enumerate(zip(hidden.images, hidden.labels.int().tolist(), strict=True)):
        left, top, right, bottom = box
        assert torch.equal(image[:, top:bottom, left:right], digits.images[number % 40])  # from the start again
        image[:, top:bottom, left:right] = 0
        assert not image.any()
    corners = hide_digits(digits.images[:1], 2000, generator=seeded()).labels[:, :2]
    assert corners.amin(0).tolist() == [0, 0]
    assert corners.amax(0).tolist() == [56, 56]


def test_clutter_is_sixteen_patches_of_other_digits_and_the_brighter_pixel_shows(digits):
    plain, cluttered = (
        hide_digits(digits.images[:30], 30, others, seeded()) for others in (None, torch.full_like(digits.images, 200))
    )
    assert torch.equal(plain.labels, cluttered.labels)
    assert (cluttered.images >= plain.images).all()
    patches = cluttered.images == 200
    assert patches.flatten(1).sum(1).max() <= 16 * 36
    assert patches.flatten(1).sum(1).float().mean() > 12 * 36  # they overlap a little
    changed = cluttered.images != plain.images
    assert (cluttered.images[changed] == 200).all()


def test_the_same_seed_gives_the_same_images_and_another_one_others(digits):
    first, again, other = (hidden_digits(digits, 3, True, 20, seed) for seed in (0, 0, 1))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.labels, other.labels)
    assert len(hidden_digits(digits, 3, False)) == (digits.labels == 3).sum()


# Boxes


def counted(box, other, size=30):
    """Intersection over union by counting the pixels of two boxes of whole pixels."""
    both = either = 0
    for y in range(size):
        for x in range(size):
            inside = [left <= x < right and top <= y < bottom for left, top, right, bottom in (box, other)]
            both += all(inside)
            either += any(inside)
    return both / either if either else 0.0


def test_overlap_is_what_counting_pixels_says():
    corners = torch.randint(0, 16, (200, 2, 2), generator=seeded())
    boxes = torch.cat([corners, corners + torch.randint(0, 14, (200, 2, 2), generator=seeded(1))], 2)
    mine = overlap(boxes[:, 0].double(), boxes[:, 1].double())
    expected = torch.tensor([counted(*pair) for pair in boxes.tolist()], dtype=torch.float64)
    assert torch.allclose(mine, expected, atol=1e-12)
    assert 0.1 < (expected > 0).double().mean() < 0.9


def test_a_frame_covers_the_pixels_that_its_grid_looks_between():
    theta = torch.tensor([[[0.25, 0.0, -0.5], [0.0, 0.25, 0.25]], [[-0.5, 0.0, 0.0], [0.0, -0.5, 0.0]]]).double()
    boxes = frame_boxes(theta, (40, 80))  # 40 high, 80 wide
    assert boxes.tolist() == [[10, 20, 30, 30], [20, 10, 60, 30]]  # a mirrored frame covers the same
    assert boxes.dtype == torch.float64
    square = torch.tensor([[[1 / 3, 0.0, 14 / 42 - 1], [0.0, 1 / 3, 1 - 14 / 42]]])
    assert torch.allclose(frame_boxes(square, CANVAS), torch.tensor([[0.0, 56, 28, 84]]), atol=1e-5)


def test_found_is_more_than_half_in_common():
    true = torch.tensor([[0.0, 0, 10, 10]]).expand(4, 4)
    boxes = torch.tensor([[0.0, 0, 10, 5], [0, 0, 10, 5.1], [20, 20, 30, 30], [0, 0, 10, 10]])  # 0.5 is not enough
    assert corloc(boxes, true) == 0.5
    assert corloc(true, true) == 1.0


def test_the_metric_says_the_same_of_frames():
    theta = torch.tensor([[[1 / 3, 0.0, 0.0], [0.0, 1 / 3, 0.0]]]).expand(2, 2, 3)
    boxes = torch.tensor([[28.0, 28, 56, 56], [0, 0, 28, 28]])
    assert found(Located(torch.zeros(2, 3), torch.zeros(2, 3), theta), boxes).tolist() == [True, False]


# The loss


@pytest.mark.parametrize("margin", [0.0, 0.7, 3.0])
def test_the_loss_is_the_papers_sum_over_pairs(margin):
    chosen, other = (torch.randn(5, 3, generator=seeded(seed), dtype=torch.float64) for seed in (0, 1))
    total = 0.0
    for n in range(5):
        for m in range(5):
            if m != n:
                near = sum((chosen[n, k] - chosen[m, k]) ** 2 for k in range(3))
                far = sum((chosen[n, k] - other[n, k]) ** 2 for k in range(3))
                total += max(0.0, float(near - far + margin))
    assert triplet_hinge(chosen, other, margin).item() == pytest.approx(total / 20, abs=1e-12)
    assert triplet_hinge(chosen, other, margin, hold_others=False).item() == pytest.approx(total / 20, abs=1e-12)


def test_crops_that_are_alike_and_unlike_the_rest_cost_nothing():
    alike, apart = torch.ones(4, 2), torch.zeros(4, 2)
    assert triplet_hinge(alike, apart).item() == 0  # 0 - 2 + 1 < 0
    assert triplet_hinge(alike, alike).item() == 1  # what lies everywhere is not what they share
    assert triplet_hinge(torch.eye(4, 2) * 9, apart).item() > 1


def test_the_others_stand_still_unless_they_are_let_go():
    other = torch.zeros(2, 1, dtype=torch.float64)
    for hold, expected in ((True, [-3.0, -1.0]), (False, [-5.0, 1.0])):  # d/de of the mean of (e_n-e_m)² - e_n² + α
        chosen = torch.tensor([[1.0], [3.0]], dtype=torch.float64, requires_grad=True)
        triplet_hinge(chosen, other, 100.0, hold_others=hold).backward()
        # n=0: ((e0-e1)² - e0²)/2 -> (e0-e1) - e0 = -e1;  n=1: -e0
        assert chosen.grad.flatten().tolist() == expected


# The network


def test_the_encoder_is_frozen_and_a_digit_has_length_one(digits):
    torch.manual_seed(0)
    encoder = Encoder(DigitCNN(), digits.images[:200])
    crops = normalize(digits.images[:200])
    features = encoder(crops)
    assert features.shape == (200, 60)
    assert features.square().sum(1).mean().item() == pytest.approx(1, abs=1e-5)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    scores = features[:, 50:] * encoder.length
    assert torch.allclose(scores.log_softmax(1), encoder.classifier(crops), atol=1e-5)
    model = CoLocaliser(encoder, CANVAS).train()
    assert not encoder.classifier.training
    assert model.transformer.training


def test_the_encoder_that_ships_reads_digits(digits):
    encoder = load_encoder()
    right = encoder(normalize(digits.images))[:, 50:].argmax(1) == digits.labels
    assert right.double().mean() > 0.97
    assert encoder.info["validation_accuracy"] > 0.98


def test_the_heat_maps_places_are_the_middles_of_what_they_see():
    height, width = 60, 41  # 10 and 5 places
    network = HeatMapLocalization((height, width)).double()
    image = torch.zeros(1, 1, height, width, dtype=torch.float64, requires_grad=True)
    heat = network.heat_map(image)[1]
    assert heat.shape == (1, 10, 5)
    assert heat.sum().item() == pytest.approx(1)
    for row, column in ((0, 0), (9, 4), (3, 1)):
        noise = torch.randn(1, 1, height, width, generator=seeded(), dtype=torch.float64)
        image = noise.requires_grad_(True)
        network.heat_map(image)[0][0, :, row, column].sum().backward()
        rows, columns = (image.grad[0, 0].abs().sum(axis) > 0 for axis in (1, 0))
        for seen, place, side in ((rows, network.y[row], height), (columns, network.x[column], width)):
            positions = seen.nonzero().flatten()
            middle = (positions[0] + positions[-1] + 1) / 2  # in pixels from the first one's edge
            assert (middle / side * 2 - 1).item() == pytest.approx(place.item(), abs=1e-6)


def test_a_frame_follows_what_moves():
    torch.manual_seed(0)
    network = HeatMapLocalization(84).double()
    image = torch.zeros(1, 1, 84, 84, dtype=torch.float64)
    image[..., 30:40, 30:40] = 3.0
    moved = image.roll((8, -12), (2, 3))
    (_, x, y), (_, x2, y2) = network(torch.cat([image, moved])).tolist()
    heat = network.heat_map(image)[1]
    assert heat.std() > 0
    assert x2 < x
    assert y2 > y


def test_it_starts_with_frames_of_a_digits_size_and_keeps_to_its_scales():
    network = HeatMapLocalization(84)
    images = torch.randn(20, 1, 84, 84, generator=seeded())
    assert torch.allclose(network(images)[:, 0], torch.tensor(1 / 3))
    for weight in (1e3, -1e3):
        torch.nn.init.constant_(network.scale.weight, weight)
        assert network(images)[:, 0].min() >= network.scales[0]
        assert network(images)[:, 0].max() <= network.scales[1]


def test_random_crops_are_pieces_of_the_image_and_alike_in_eval_mode_only(digits):
    model = CoLocaliser(Encoder(DigitCNN()), (40, 50))
    images = torch.rand(30, 1, 40, 50, generator=seeded())
    crops = model.train()._random_crops(images)
    assert crops.shape == (30, 1, 28, 28)
    pieces = images[3, 0].unfold(0, 28, 1).unfold(1, 28, 1)
    assert (pieces == crops[3, 0]).all((2, 3)).sum() == 1
    assert not torch.equal(model._random_crops(images), crops)
    state = torch.get_rng_state()
    assert torch.equal(model.eval()._random_crops(images), model._random_crops(images))
    assert torch.equal(torch.get_rng_state(), state)


# Training


@pytest.fixture(scope="module")
def hidden():
    train, test = (load_digits(split, "offline") for split in ("train", "test"))
    return hidden_digits(train, 8, True, 100), hidden_digits(test, 8, True, 40, seed=1)


def test_a_short_training_finds_digits_that_it_has_never_seen(hidden):
    train, test = hidden
    torch.manual_seed(0)
    model = CoLocaliser(load_encoder(), CANVAS)
    encoder = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
    before = corloc(locate(model, test), test.labels)
    recipe = BUDGETS["quick"].recipe("TC-8").but(epochs=12)
    history = fit(model, train, test, recipe, "cpu", loss=colocalisation_loss, metrics={"found": found}, verbose=False)
    after = corloc(locate(model, test), test.labels)
    assert history.column("test_found")[-1] == pytest.approx(after)
    assert before < 0.7  # it starts by looking at what is bright
    assert after > 0.9
    assert all(torch.equal(tensor, encoder[name]) for name, tensor in model.encoder.state_dict().items())


def test_no_box_goes_into_the_training():
    digits = [load_digits(split, "offline") for split in ("train", "test")]
    data = named("colocalisation").data(*digits, "TC-3")
    assert data.train.labels.unique().tolist() == [3]
    assert len(data.train) == 100
    assert data.known["boxes"].shape == (100, 4)
    assert data.measure.labels.shape == (100, 4)
    output = Located(torch.eye(2), torch.zeros(2, 2), None)
    assert colocalisation_loss(output, None) == triplet_hinge(output.found, output.random)


def test_what_ships_finds_at_least_what_the_paper_found_in_all_runs_but_one():
    cells = load_colocalisation()
    assert set(cells) == {(MODEL, column) for column in COLUMNS}
    failed = []
    for (_, column), cell in cells.items():
        assert cell["measured_on"] == "test"
        least = 99 if column.startswith("T-") else 75
        failed += [(column, run["train_loss"][-1]) for run in cell["runs"] if 100 - run["error"] < least]
        assert min(run["error"] for run in cell["runs"]) < 100 - least
    assert [column for column, _ in failed] in ([], ["TC-1"])  # what its crops agreed on was background
    assert all(loss > 0.9 for _, loss in failed)  # that can be told without a box


def test_the_table_has_a_row_for_each_digit():
    lines = named("colocalisation").paper.text(load_colocalisation()).splitlines()
    assert len(lines) == 2 + 10 + 1
    assert lines[2].split("|")[1].strip() == "0"
    assert lines[3].split("|")[3].strip().startswith("75–93 / ")
    assert "not run" in named("colocalisation").paper.text({})


# Errors


def test_errors_name_the_argument(digits):
    images = digits.images[:3]
    for name, call in {
        "digits": lambda: hide_digits(images.float(), 2),
        "count": lambda: hide_digits(images, 0),
        "others": lambda: hide_digits(images, 2, images[:0]),
        "label": lambda: hidden_digits(digits, 12, True),
        "theta": lambda: frame_boxes(torch.zeros(2, 3, 3), 84),
        "others: expected": lambda: overlap(torch.zeros(2, 4), torch.zeros(3, 4)),
        "boxes": lambda: corloc(torch.zeros(0, 4), torch.zeros(0, 4)),
        "found": lambda: triplet_hinge(torch.zeros(1, 3), torch.zeros(1, 3)),
        "random": lambda: triplet_hinge(torch.zeros(2, 3), torch.zeros(2, 4)),
        "margin": lambda: triplet_hinge(torch.zeros(2, 3), torch.zeros(2, 3), -1.0),
        "image_size": lambda: HeatMapLocalization(20),
        "scales": lambda: HeatMapLocalization(84, (0.5, 0.2)),
        "start": lambda: HeatMapLocalization(84, (0.2, 0.3), 0.5),
    }.items():
        with pytest.raises(ValueError, match=f"^{name}"):
            call()
    for call in (
        lambda: hide_digits([1], 2),
        lambda: hide_digits(images, 2, generator=3),
        lambda: hidden_digits(images, 3, True),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="images"):
        CoLocaliser(Encoder(DigitCNN()), 84)(torch.zeros(1, 1, 60, 60))
