"""The network in JavaScript says what torch says: its θ, its answers and its slopes, in a real browser."""

import lab
import pytest
import torch
import torch.nn.functional as F

from stncourse import affine_grid, affine_theta, distort, load_digits, load_pretrained
from stncourse.browser.scripts import joined

COUNT = 1000
MEAN, STD = 0.1307, 0.3081
ASK = """() => images.map((image) => {
    const { theta, seen, logProbabilities } = script.ask(network, image);
    return [theta, seen, logProbabilities].map((values) => Array.from(values));
})"""
SLOPES = """([thetas, labels]) => thetas.map((theta, i) => {
    const { loss, byTheta, byPlace } = script.slopes(network, images[i], theta, labels[i]);
    return [[loss], byTheta, byPlace].map((values) => Array.from(values));
})"""


@pytest.fixture(scope="module")
def digits():
    return load_digits("test", source="offline")


@pytest.fixture(scope="module")
def crooked(digits):
    return distort(digits.images, "RTS", torch.Generator().manual_seed(5)).images[:COUNT]


@pytest.fixture(scope="module")
def model():
    """In float64, where slopes do not drown in rounding."""
    model = load_pretrained().double()
    model.stn.sampler.padding_value = -MEAN / STD
    return model


@pytest.fixture(scope="module")
def inputs(crooked):
    return (crooked.double() / 255 - MEAN) / STD


@pytest.fixture(scope="module")
def page(new_context, crooked):
    page = new_context().new_page()
    lab.load_script(page, joined("browser/network.js"))
    lab.load_network(page, crooked)
    return page


def test_theta_and_answers_are_those_of_torch(page, model, inputs):
    theta, seen, answers = (torch.tensor(part, dtype=torch.float64) for part in zip(*page.evaluate(ASK), strict=True))
    with torch.no_grad():
        expected = model.stn.transform(inputs)
        logarithms = model(inputs)
    assert len(theta) == COUNT
    torch.testing.assert_close(theta.reshape(-1, 2, 3), expected.theta.double(), rtol=0, atol=1e-5)
    torch.testing.assert_close(seen.reshape(-1, 1, 28, 28), expected.images, rtol=0, atol=1e-4)
    torch.testing.assert_close(answers, logarithms, rtol=0, atol=1e-3)
    assert (answers.argmax(1) == logarithms.argmax(1)).all()


def slopes_of(model, image, theta, label):
    """loss, ∂loss/∂θ and ∂loss/∂place, by autograd."""
    theta = theta[None].clone().requires_grad_(True)
    grid = affine_grid(theta, (28, 28))
    grid.retain_grad()
    loss = F.nll_loss(model.classifier(model.stn.sampler(image[None], grid)), label[None])
    loss.backward()
    return loss.detach()[None], theta.grad.flatten(), grid.grad.flatten()


@pytest.mark.parametrize("start", ["chosen", "crooked"])
def test_slopes_are_those_of_autograd(page, model, inputs, digits, start):
    """From the network's own θ, and from one that no place of which lies on a pixel's centre, where there are kinks."""
    with torch.no_grad():
        thetas = model.stn.transform(inputs).theta.double()
    if start == "crooked":
        thetas = affine_theta(17, 0.71, 0.13, (0.1234, -0.0678)).double().expand(COUNT, -1, -1)
    got = page.evaluate(SLOPES, [thetas.flatten(1).tolist(), digits.labels[:COUNT].tolist()])
    for i in range(0, COUNT, 5):
        expected = slopes_of(model, inputs[i], thetas[i], digits.labels[i])
        for values, own in zip(got[i], expected, strict=True):
            assert (torch.tensor(values, dtype=torch.float64) - own).norm() <= 1e-3 * own.norm() + 1e-12


def test_a_blank_image_has_no_slope(page):
    """A frame that sees only black cannot learn where to go."""
    page.evaluate("() => (window.images[0] = new Uint8Array(42 * 42))")
    _, by_theta, by_place = page.evaluate(SLOPES, [[[1.0, 0, 0, 0, 1, 0]], [7]])[0]
    assert by_theta == [0] * 6
    assert set(by_place) == {0}


def test_weights_of_another_kind_are_refused(page):
    bad = """() => {
        const header = '{"w":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}';
        const bytes = new Uint8Array(8 + header.length + 2);
        bytes[0] = header.length;
        bytes.set(new TextEncoder().encode(header), 8);
        try { script.tensorsIn(bytes); } catch (error) { return error.message; }
    }"""
    assert page.evaluate(bad) == "w: expected F32, got F16"
