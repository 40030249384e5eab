"""SpatialTransformer in other people's experiments: any module behind it, any dtype, compiled, exported, saved."""

import copy
import warnings

import pytest
import torch
from torch import nn

from stncourse import (
    AffineGrid,
    LocalizationNetwork,
    Sampler,
    SpatialTransformer,
    STNClassifier,
    affine_grid,
    load_weights,
    save_weights,
)
from stncourse.transformer import FAMILIES

MATRICES = [family for family in FAMILIES if family != "tps"]
HALF = [torch.float16, torch.bfloat16]
both_halves = pytest.mark.parametrize("dtype", HALF)
families = pytest.mark.parametrize("family", FAMILIES)


def awake(stn, seed=0):
    """As after some training: each image gets a transform of its own."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        last = stn.localization.fc_loc[-1]
        last.weight.copy_(0.15 * torch.randn(last.weight.shape, generator=generator))
    return stn


def random_images(*shape, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


# Smoke and cardinality


@families
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (17, 2), (96, 40)])
@pytest.mark.parametrize(("count", "channels"), [(0, 1), (0, 3), (1, 1), (2, 3)])
@pytest.mark.parametrize("output_size", [None, (1, 1), (7, 50)])
def test_any_batch_of_any_images_in_any_family(family, size, count, channels, output_size):
    stn = awake(SpatialTransformer.for_images(size, channels, family, output_size=output_size))
    images = random_images(count, channels, *size)
    result = stn.transform(images)
    assert result.images.shape == (count, channels, *(output_size or size))
    assert result.grid.shape == (count, *(output_size or size), 2)
    assert family == "tps" or result.theta.shape[0] == count
    result.images.sum().backward()  # also where there is no image
    assert all(p.grad.isfinite().all() for p in stn.parameters())


@pytest.mark.parametrize("padding", [{"padding_value": (0.1, 0.2)}, {"padding_mode": "border"}, {"antialias": True}])
def test_an_empty_batch_passes_however_it_is_padded(padding):
    stn = SpatialTransformer.for_images((5, 9), 2, iterations=2, **padding)
    assert stn(torch.rand(0, 2, 5, 9)).shape == (0, 2, 5, 9)


def test_in_front_of_a_network_that_knows_nothing_of_it():
    from torchvision.models import resnet18

    torch.manual_seed(0)
    plain = resnet18(num_classes=4).eval()
    stn = SpatialTransformer.for_images(64, channels=3)
    network = nn.Sequential(stn, plain)
    images = random_images(2, 3, 64, 64)
    torch.testing.assert_close(network(images), plain(images), atol=1e-3, rtol=1e-3)  # untrained: the identity
    network(images).square().sum().backward()
    assert stn.localization.fc_loc[-1].bias.grad.abs().min() > 0


def test_several_side_by_side_look_at_places_of_their_own():
    views = nn.ModuleList(SpatialTransformer.for_images((32, 48), 3, "attention", output_size=(16, 24)) for _ in "ab")
    views[0].localization.start_at(torch.tensor([0.5, -0.5, -0.5]))  # the upper left quarter
    views[1].localization.start_at(torch.tensor([0.5, 0.5, 0.5]))
    images = random_images(2, 3, 32, 48)
    together = torch.cat([view(images) for view in views], 1)
    corners = torch.cat([images[:, :, :16, :24], images[:, :, 16:, 24:]], 1)
    torch.testing.assert_close(together, corners, atol=1e-5, rtol=0)


# Iterations


class Scripted(nn.Module):
    """A localization "network" with one answer for each time it is asked; it keeps what it saw."""

    def __init__(self, *answers):
        super().__init__()
        self.answers, self.seen = answers, []

    def forward(self, images):
        self.seen.append(images)
        return self.answers[len(self.seen) - 1].expand(len(images), -1).to(images)


PARAMETERS = {
    "attention": [[0.8, 0.1, -0.2], [0.9, -0.3, 0.1], [1.1, 0.0, 0.2]],
    "similarity": [[0.8, 0.3, 0.1, -0.2], [0.9, -0.4, -0.3, 0.1], [1.0, 0.5, 0.0, 0.2]],
    "affine": [[0.8, 0.3, 0.1, -0.2, 0.9, 0.1], [1.0, -0.4, 0.2, 0.3, 1.1, -0.1], [0.7, 0.0, 0.0, 0.5, 1.0, 0.2]],
    "projective": [[0.8, 0.3, 0.1, -0.2, 0.9, 0.1, 0.1, 0.1], [1.0, -0.2, 0.1, 0.2, 1.1, -0.1, -0.1, 0.05]] * 2,
}


@pytest.mark.parametrize("family", MATRICES)
def test_iterations_multiply_theta_and_sample_the_input_once(family):
    """Looking three times, each time at what came out, is one look through the product of the three matrices."""
    size = (20, 40)
    answers = [torch.tensor([p], dtype=torch.float64) for p in PARAMETERS[family][:3]]
    generator = FAMILIES[family](size=size) if family == "similarity" else FAMILIES[family]()
    stn = SpatialTransformer(Scripted(*answers), generator, Sampler(), output_size=(9, 13), iterations=3)
    images = random_images(2, 1, *size, dtype=torch.float64)
    result = stn.transform(images)

    thetas = [generator.theta(answer)[0] for answer in answers]
    last_row = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    product = torch.eye(3, dtype=torch.float64)
    for number, theta in enumerate(thetas):
        seen = stn.localization.seen[number]  # at the input's own size, whatever comes out at the end
        points = torch.tensor([[x, y, 1] for x, y in generator_points(size)], dtype=torch.float64)
        assert seen.shape == images.shape
        torch.testing.assert_close(seen, read(images, points @ product.T, size), atol=1e-9, rtol=0)
        product = product @ (theta if len(theta) == 3 else torch.cat([theta, last_row]))
    points = torch.tensor([[x, y, 1] for x, y in generator_points((9, 13))], dtype=torch.float64)
    torch.testing.assert_close(result.images, read(images, points @ product.T, (9, 13)), atol=1e-9, rtol=0)
    expected = product / product[2, 2]
    torch.testing.assert_close(result.theta[0], expected[: len(result.theta[0])], atol=1e-9, rtol=0)


def generator_points(size):
    return [((2 * j + 1) / size[1] - 1, (2 * i + 1) / size[0] - 1) for i in range(size[0]) for j in range(size[1])]


def read(images, points, size):
    grid = (points[:, :2] / points[:, 2:]).reshape(1, *size, 2).expand(len(images), -1, -1, -1)
    return nn.functional.grid_sample(images, grid, align_corners=False)


@pytest.mark.parametrize("family", MATRICES)
def test_iterations_start_at_the_identity_and_get_gradients(family):
    stn = SpatialTransformer.for_images((20, 31), 2, family, iterations=4)
    images = random_images(2, 2, 20, 31)
    torch.testing.assert_close(stn(images), images, atol=1e-5, rtol=0)
    stn(images).square().sum().backward()
    assert (stn.localization.fc_loc[-1].bias.grad != 0).sum() > 2


def test_gradients_through_iterations_are_right():
    grid_generator = AffineGrid()
    images = random_images(1, 1, 5, 6, dtype=torch.float64)

    def two_looks(first, second):
        stn = SpatialTransformer(Scripted(first, second), grid_generator, Sampler(), iterations=2)
        return stn(images)

    first, second = (torch.tensor([p], dtype=torch.float64, requires_grad=True) for p in PARAMETERS["affine"][:2])
    assert torch.autograd.gradcheck(two_looks, (first, second))


def test_a_spline_cannot_be_iterated():
    with pytest.raises(ValueError, match=r"^iterations: expected 1 with ThinPlateSplineGrid, got 2: only .* matrices"):
        SpatialTransformer.for_images(28, family="tps", iterations=2)


@pytest.mark.parametrize(
    ("iterations", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_iterations_are_a_number_from_one(iterations, error):
    with pytest.raises(error, match=r"^iterations: expected an int >= 1"):
        SpatialTransformer.for_images(28, iterations=iterations)


# Dtypes: all errors are measured against the same computation in float64, in pixels or in grey levels


def pixels(grid, exact, size):
    """How far points are from where they should be, in input pixels."""
    return ((grid.double() - exact) * torch.tensor([size[1] / 2, size[0] / 2])).abs().max().item()


@families
@pytest.mark.parametrize("dtype", [*HALF, torch.float64])
def test_what_comes_out_has_the_dtype_that_went_in(family, dtype):
    stn = awake(SpatialTransformer.for_images((20, 31), 3, family, padding_value=0.2)).to(dtype)
    result = stn.transform(random_images(2, 3, 20, 31, dtype=dtype))
    assert result.images.dtype == dtype
    assert result.grid.dtype == (torch.float32 if dtype in HALF else dtype)
    assert result.theta is None or result.theta.dtype == result.grid.dtype
    assert result.images.isfinite().all()
    result.images.sum().backward()
    assert all(p.grad.isfinite().all() for p in stn.parameters())


@families
@both_halves
def test_in_half_precision_the_grid_is_where_its_parameters_say(family, dtype):
    """The parameters carry the network's rounding, and nothing is added to it."""
    size, generator = (60, 60), FAMILIES[family]()
    for seed in range(3):
        noise = 0.3 * torch.randn(4, generator.num_parameters, generator=torch.Generator().manual_seed(seed))
        parameters = (generator.identity() + noise * (0.2 if family == "projective" else 1)).to(dtype)
        exact = generator(parameters.double(), size)
        near = exact.abs().amax(-1) < 4  # projective: towards the horizon pixels are large
        grid = generator(parameters, size)
        assert pixels(grid[near], exact[near], size) < 1e-3


@both_halves
def test_theta_itself_is_not_rounded_to_half_precision(dtype):
    """It is what the last layer computes in float32; rounded, it would be off by up to 0.1 pixels here."""
    size = (60, 60)
    stn = awake(SpatialTransformer.for_images(size)).to(dtype)
    seen = {}
    stn.localization.fc_loc[-2].register_forward_hook(lambda module, inputs, output: seen.update(hidden=output))
    grid = stn.transform(random_images(4, 1, *size, dtype=dtype)).grid
    last = copy.deepcopy(stn.localization.fc_loc[-1]).double()
    theta = last(seen["hidden"].double()).reshape(-1, 2, 3)
    assert pixels(grid, affine_grid(theta, size), size) < 1e-3
    assert pixels(affine_grid(theta.to(dtype), size), affine_grid(theta, size), size) > 0.01


@both_halves
@pytest.mark.parametrize("padding", [{"padding_value": -0.4242}, {"padding_mode": "border"}, {"antialias": True}])
def test_half_precision_images_are_right_to_their_own_rounding(dtype, padding):
    images = random_images(2, 3, 60, 60, dtype=dtype)
    grid = affine_grid(torch.tensor([[[0.9, -0.5, 0.1], [0.4, 1.1, -0.2]]]).expand(2, 2, 3), (60, 60))
    output = Sampler(**padding)(images, grid)
    exact = Sampler(**padding)(images.double(), grid.double())
    step = torch.finfo(dtype).eps / 2  # of numbers up to 1
    assert output.dtype == dtype
    assert (output.double() - exact).abs().max() < step + 2e-5


def test_large_images_in_half_precision_do_not_overflow():
    """float16 ends at 65504: sums of 60000 do not fit in it, their mean does."""
    images = torch.full((1, 1, 8, 8), 60000.0, dtype=torch.float16)
    grid = affine_grid(torch.eye(2, 3)[None], (3, 3))
    for antialias in (False, True):
        assert (Sampler(antialias=antialias, padding_value=-60000.0)(images, grid) == 60000).all()


@families
def test_autocast_leaves_theta_grid_and_sampler_alone(family):
    size = (60, 60)
    stn = awake(SpatialTransformer.for_images(size, 1, family))
    images = random_images(4, 1, *size)
    with torch.autocast("cpu", torch.bfloat16):
        result = stn.transform(images)
        parameters = stn.localization(images)
        by_hand = stn.grid_generator(parameters, size)
    assert (result.images.dtype, result.grid.dtype, parameters.dtype) == (torch.float32,) * 3
    near = result.grid.abs().amax(-1) < 4
    exact = stn.grid_generator(parameters.double(), size)
    assert pixels(result.grid[near], exact[near], size) < 1e-3
    assert torch.equal(by_hand, result.grid)
    assert torch.equal(result.images, stn.sampler(images, result.grid))


def test_autocast_trains():
    torch.manual_seed(0)
    model = STNClassifier((20, 31), in_channels=3)
    images, labels = random_images(8, 3, 20, 31), torch.arange(8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(5):
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.nll_loss(model.eval()(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.gpu
@both_halves
def test_half_precision_and_autocast_on_cuda(dtype):
    stn = awake(SpatialTransformer.for_images((60, 60), 3)).cuda()
    images = random_images(4, 3, 60, 60).cuda()
    with torch.autocast("cuda", dtype):
        result = stn.transform(images)
    exact = affine_grid(result.theta.double(), (60, 60)).cpu()
    assert pixels(result.grid.cpu(), exact, (60, 60)) < 1e-3
    assert stn.to(dtype)(images.to(dtype)).dtype == dtype


# Compile, export, copy, save


VARIANTS = {family: {"family": family} for family in FAMILIES} | {
    "border": {"padding_mode": "border"},
    "reflection, antialias": {"padding_mode": "reflection", "antialias": True},
    "value per channel, antialias": {"padding_value": (0.1, 0.2, 0.3), "antialias": True, "output_size": (9, 13)},
    "iterations": {"iterations": 2, "padding_value": -0.4},
}
variants = pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
COUNT = torch.export.Dim("count", max=4096)  # torch 2.6 wants a bound, later ones do not


@variants
def test_torch_export_with_any_number_of_images(options):
    stn = awake(SpatialTransformer.for_images((20, 24), 3, **options)).eval()
    images = random_images(5, 3, 20, 24)
    program = torch.export.export(stn, (images[:2],), dynamic_shapes=({0: COUNT},))
    torch.testing.assert_close(program.module()(images), stn(images), atol=1e-5, rtol=0)


def test_the_whole_classifier_on_grey_images_is_exported_too():
    """It has a first convolution of its own for one channel."""
    model = STNClassifier(28).eval()
    awake(model.stn)
    images = random_images(5, 1, 28, 28)
    program = torch.export.export(model, (images[:2],), dynamic_shapes=({0: COUNT},))
    torch.testing.assert_close(program.module()(images), model(images), atol=1e-5, rtol=0)


@variants
def test_nothing_of_an_export_is_remembered(options):
    """Also when the exporter is the first to come by."""
    size = (21, 22)
    stn = SpatialTransformer.for_images(size, 3, **options).eval()
    torch.export.export(stn, (torch.rand(2, 3, *size),))
    assert type(stn(torch.rand(2, 3, *size)).detach()) is torch.Tensor


def test_a_network_used_in_inference_mode_can_still_be_trained():
    stn = SpatialTransformer.for_images((19, 23), family="tps")
    with torch.inference_mode():
        stn(torch.rand(1, 1, 19, 23))
    stn(torch.rand(1, 1, 19, 23)).square().sum().backward()
    assert stn.localization.fc_loc[-1].bias.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["affine", "tps", "border", "value per channel, antialias"])
def test_onnx_says_the_same(name):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    stn = awake(SpatialTransformer.for_images((20, 24), 3, **VARIANTS[name])).eval()
    images = random_images(5, 3, 20, 24)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about itself
        program = torch.onnx.export(
            stn,
            (images[:2],),
            dynamo=True,
            opset_version=20,
            dynamic_shapes=({0: COUNT},),
            verbose=False,
        )
    assert program.model_proto.opset_import[0].version == 20
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    torch.testing.assert_close(torch.from_numpy(output), stn(images).detach(), atol=1e-4, rtol=0)


@variants
def test_torch_compile_finds_one_graph(options):
    """Without the slow half, the code generator."""
    torch._dynamo.reset()
    stn = awake(SpatialTransformer.for_images((20, 24), 3, **options))
    compiled = torch.compile(stn, fullgraph=True, backend="eager")
    images = random_images(2, 3, 20, 24)
    torch.testing.assert_close(compiled(images), stn(images), atol=1e-5, rtol=0)


def test_torch_compile_gives_the_same_values_and_gradients():
    torch._dynamo.reset()
    torch.manual_seed(0)
    # The smallest localization network there is: its convolutions would be compiled for a long time.
    localization = nn.Sequential(nn.Flatten(), nn.Linear(63, 6))
    network = SpatialTransformer(localization, AffineGrid(), Sampler(padding_value=-0.4))
    images = random_images(2, 1, 7, 9)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's own
            compiled = torch.compile(network, fullgraph=True)(images)
            compiled.square().sum().backward()
    except Exception as error:
        if type(error).__name__ != "InvalidCxxCompiler" and "InvalidCxxCompiler" not in str(error):
            raise
        pytest.skip("no C++ compiler on this machine")
    gradients = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    output = network(images)
    output.square().sum().backward()
    torch.testing.assert_close(compiled, output, atol=1e-5, rtol=1e-5)
    for ours, parameter in zip(gradients, network.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad, atol=1e-4, rtol=1e-4)


@families
def test_a_copy_is_the_same_and_independent(family):
    stn = awake(SpatialTransformer.for_images((20, 24), 3, family, padding_value=(0.1, 0.2, 0.3)))
    images = random_images(2, 3, 20, 24)
    twin = copy.deepcopy(stn)
    assert torch.equal(twin(images), stn(images))
    with torch.no_grad():
        twin.localization.fc_loc[-1].bias.add_(0.1)
    assert not torch.equal(twin(images), stn(images))


def test_a_network_of_ones_own_is_saved_and_loaded_without_pickle(tmp_path):
    def network():
        return nn.Sequential(SpatialTransformer.for_images((20, 24), 3, "projective"), nn.Conv2d(3, 2, 3))

    first, second = network(), network()
    awake(first[0])
    save_weights(first, {"note": "mine"}, tmp_path / "mine.safetensors")
    assert load_weights(second, tmp_path / "mine.safetensors") == {"note": "mine"}
    images = random_images(2, 3, 20, 24)
    assert torch.equal(first(images), second(images))


def test_a_localization_of_ones_own_size_is_refused_by_name():
    with pytest.raises(ValueError, match=r"^images: expected a floating-point tensor of shape \(N, 3, 20, 24\), got"):
        SpatialTransformer(LocalizationNetwork((20, 24), 3), AffineGrid(), Sampler())(torch.rand(1, 3, 24, 20))
