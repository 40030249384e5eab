"""SpatialTransformer in other people's experiments: any module behind it, any dtype, compiled, exported, saved."""

import copy
import io
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from stncourse import (
    AffineGrid,
    DigitCNN,
    LocalizationNetwork,
    Sampler,
    SpatialTransformer,
    STNClassifier,
    affine_grid,
    affine_theta,
    bilinear_sample,
    load_pretrained,
    load_weights,
    projective_theta,
    save_weights,
)
from stncourse.transformer.spatial_transformer import FAMILIES

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
    "rotation": [[0.3], [-0.8], [0.6]],
    "translation": [[0.1, -0.2], [-0.3, 0.1], [0.0, 0.2]],
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
    generator = FAMILIES[family](size=size) if family in ("similarity", "rotation") else FAMILIES[family]()
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
    gradient = stn.localization.fc_loc[-1].bias.grad
    assert (gradient != 0).sum() >= min(3, len(gradient))


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


# Any height and width


def of_any_size(family="affine", output_size=None, iterations=1, align_corners=False, **sampling):
    """A transformer whose localization network takes images of any size; it has something to say of each image."""
    torch.manual_seed(0)
    generator = FAMILIES[family](align_corners=align_corners)
    last = nn.Linear(4, generator.num_parameters)
    with torch.no_grad():
        last.weight.mul_(0.3)
        last.bias.copy_(generator.identity())
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), last
    sampler = Sampler(align_corners=align_corners, **{"padding_value": 0.4} | sampling)
    return SpatialTransformer(nn.Sequential(*layers), generator, sampler, output_size, iterations).eval()


ANY_SIZE = VARIANTS | {
    "affine, corners": {"align_corners": True},
    "tps, corners": {"family": "tps", "align_corners": True},
    "border, corners, antialias": {"padding_mode": "border", "align_corners": True, "antialias": True},
    "nearest": {"mode": "nearest", "padding_mode": "reflection"},
    "bicubic": {"mode": "bicubic"},
    "one row": {"output_size": (1, 7), "antialias": True},
}
any_size = pytest.mark.parametrize("options", ANY_SIZE.values(), ids=ANY_SIZE)
SHAPES = [(2, 3, 20, 24), (5, 3, 20, 24), (1, 3, 37, 18), (3, 3, 150, 130)]  # the first is traced


def traced(function, *examples):
    """``torch.jit.trace``, with the tracer's warnings as errors, but not the one that it is deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.\w+. is deprecated")
        return torch.jit.trace(function, examples)


@any_size
def test_a_trace_holds_for_images_of_any_size_and_number(options):
    stn = of_any_size(**options)
    program = traced(stn, random_images(*SHAPES[0]))
    for shape in SHAPES:
        images = random_images(*shape)
        torch.testing.assert_close(program(images), stn(images), atol=2e-5, rtol=0)


@variants
@pytest.mark.parametrize("channels", [1, 3])
def test_a_trace_of_a_ready_transformer_holds_for_any_number_of_images(options, channels):
    if channels == 1 and isinstance(options.get("padding_value"), tuple):
        options = options | {"padding_value": 0.1}
    stn = awake(SpatialTransformer.for_images((20, 24), channels, **options)).eval()
    program = traced(stn, random_images(2, channels, 20, 24))
    images = random_images(5, channels, 20, 24)
    torch.testing.assert_close(program(images), stn(images), atol=2e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_trace_keeps_the_precision(dtype):
    stn = awake(SpatialTransformer.for_images((20, 24), 3, "projective")).eval().to(dtype)
    program = traced(stn, random_images(2, 3, 20, 24, dtype=dtype))
    images = random_images(5, 3, 20, 24, dtype=dtype)
    torch.testing.assert_close(program(images), stn(images), atol=1e-12 if dtype == torch.float64 else 0.01, rtol=0)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (STNClassifier, (1, 28, 28)),
        (DigitCNN, (1, 28, 28)),
        (lambda: STNClassifier((13, 40), 3, output_size=9), (3, 13, 40)),
        (lambda: DigitCNN((5, 30), 2), (2, 5, 30)),
        (load_pretrained, (1, 42, 42)),
    ],
    ids=["STNClassifier", "DigitCNN", "small STNClassifier", "small DigitCNN", "pretrained"],
)
def test_networks_are_traced(make, shape):
    model = make().eval()
    program = traced(model, random_images(2, *shape))
    images = random_images(5, *shape)
    torch.testing.assert_close(program(images), model(images), atol=2e-5, rtol=0)


def test_functions_are_traced_with_sizes_that_may_vary():
    theta, others = affine_theta(torch.tensor([10.0, 50.0]), 1.2), affine_theta(torch.tensor([20.0, -30.0, 5.0]), 0.7)
    first, second = random_images(2, 3, 20, 24), random_images(3, 3, 9, 31)
    size = torch.tensor([6, 7])
    functions = [
        lambda theta, images: affine_grid(theta, images.shape),
        lambda theta, images: affine_grid(theta, images.shape[2:]),
        lambda theta, images: affine_grid(theta, images.shape[-1], True),
        lambda theta, images: affine_grid(theta, size),
        lambda theta, images: affine_theta(theta[:, 0, 0], 2, theta[:, 1, 1], (theta[:, 0, 2], 0.1), (20, 24)),
        lambda theta, images: AffineGrid().compose(theta.flatten(1), AffineGrid().inverse(theta.flatten(1))),
        lambda theta, images: projective_theta(affine_grid(theta, 2).flatten(1, 2)),
    ]
    for padding_mode in ("zeros", "border", "reflection"):
        for corners in (False, True):
            functions += [
                lambda theta, images, mode=padding_mode, corners=corners: bilinear_sample(
                    images, affine_grid(theta, 8, corners), mode, corners
                ),
                lambda theta, images, mode=padding_mode, corners=corners: Sampler(
                    padding_mode=mode, padding_value=(1, 2, 3), align_corners=corners, antialias=True
                )(images, affine_grid(theta, 8, corners)),
            ]
    for function in functions:
        program = traced(function, theta, first)
        torch.testing.assert_close(program(others, second), function(others, second), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [*FAMILIES, "tps, corners", "border", "iterations", "reflection, antialias"])
def test_torch_export_with_any_height_and_width(name):
    stn = of_any_size(**ANY_SIZE[name])
    # Anti-aliasing looks at a pixel's neighbours: the exporter asks for three.
    height, width = (torch.export.Dim(name, min=3, max=4096) for name in ("height", "width"))
    program = torch.export.export(stn, (random_images(*SHAPES[0]),), dynamic_shapes=({0: COUNT, 2: height, 3: width},))
    for shape in SHAPES:
        images = random_images(*shape)
        torch.testing.assert_close(program.module()(images), stn(images), atol=2e-5, rtol=0)


def from_the_older_exporter(model, images, names, opset):
    """What onnxruntime makes of images with the program of ``torch.onnx.export(dynamo=False)``."""
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about itself
        warnings.simplefilter("error", torch.jit.TracerWarning)
        torch.onnx.export(
            model, (images,), file, dynamo=False, opset_version=opset, input_names=["x"], dynamic_axes={"x": names}
        )
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"x": images.numpy()})[0])


@pytest.mark.parametrize("name", [*FAMILIES, "affine, corners", "border", "iterations", "reflection, antialias"])
def test_the_older_onnx_exporter_says_the_same_of_any_size(name):
    stn = of_any_size(**ANY_SIZE[name])
    opset = 20 if "antialias" in name else 17  # its tables are float64, which GridSample takes from 20 on
    run = from_the_older_exporter(stn, random_images(*SHAPES[0]), {0: "count", 2: "height", 3: "width"}, opset)
    for shape in SHAPES:
        images = random_images(*shape)
        torch.testing.assert_close(run(images), stn(images).detach(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_older_onnx_exporter_knows_the_whole_classifier(channels):
    model = STNClassifier(28, channels).eval()
    awake(model.stn)
    run = from_the_older_exporter(model, random_images(2, channels, 28, 28), {0: "count"}, 17)
    images = random_images(5, channels, 28, 28)
    torch.testing.assert_close(run(images), model(images).detach(), atol=1e-4, rtol=0)


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


@both_halves
def test_a_network_in_half_precision_is_compiled_and_exported(dtype):
    torch._dynamo.reset()
    stn = awake(SpatialTransformer.for_images((20, 24), 3)).eval().to(dtype)
    images = random_images(2, 3, 20, 24, dtype=dtype)
    compiled = torch.compile(stn, fullgraph=True, backend="eager")(images)
    program = torch.export.export(stn, (images,), dynamic_shapes=({0: COUNT},))
    torch.testing.assert_close(compiled, stn(images))
    torch.testing.assert_close(program.module()(images), stn(images))


# Devices without numbers, and other defaults


@any_size
def test_a_network_without_numbers_says_shapes_and_dtypes(options):
    stn = of_any_size(**options)
    images = random_images(*SHAPES[0])
    expected = stn.transform(images)
    laid_out = copy.deepcopy(stn).to("meta")
    result = laid_out.transform(images.to("meta"))
    for one, other in zip(result, expected, strict=True):
        assert (one is None) == (other is None)
        assert one is None or (one.is_meta, one.shape, one.dtype) == (True, other.shape, other.dtype)
    laid_out(images.to("meta")).sum().backward()
    with FakeTensorMode():
        of_any_size(**options)(torch.rand(SHAPES[0])).sum().backward()
    torch.testing.assert_close(stn(images), expected.images, rtol=0, atol=0)  # and nothing of it is remembered


@any_size
def test_a_network_laid_out_on_meta_and_filled_later_is_the_same(options):
    stn, images = of_any_size(**options), random_images(*SHAPES[2])
    with torch.device("meta"):
        other = of_any_size(**options)
    other.to_empty(device="cpu").load_state_dict(stn.state_dict())
    assert torch.equal(other(images), stn(images))


@any_size
def test_another_default_device_changes_nothing_on_the_cpu(options):
    stn = of_any_size(**options)
    for number, shape in enumerate([(2, 3, 21, 25), (1, 3, 38, 19)]):
        images = random_images(*shape).requires_grad_()
        if number % 2:  # each is once the first to see a size
            expected = stn(images)
        with torch.device("meta"):
            output = stn(images)
            output.sum().backward()
        if not number % 2:
            expected = stn(images)
        assert torch.equal(output, expected)
        assert images.grad.isfinite().all()


@families
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_of_another_default_dtype(family, dtype):
    torch.set_default_dtype(torch.float64)
    try:
        stn = SpatialTransformer.for_images((20, 24), 3, family, padding_value=0.2)
        model = STNClassifier(20)
        assert all(p.dtype == torch.float64 for p in [*stn.parameters(), *model.parameters()])
        images = random_images(2, 3, 20, 24, dtype=dtype)
        output = stn.to(dtype)(images)
        assert output.dtype == dtype
        torch.testing.assert_close(output, images, atol=1e-5 if dtype == torch.float32 else 1e-12, rtol=0)
        assert model.to(dtype)(images[:, :1, :, :20]).dtype == dtype
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("make", [STNClassifier, DigitCNN])
def test_classifiers_without_numbers(make):
    assert make(28).to("meta")(torch.rand(2, 1, 28, 28, device="meta")).shape == (2, 10)
    with torch.device("meta"):
        make(28)(torch.rand(2, 1, 28, 28)).sum().backward()
    with FakeTensorMode():
        make(28)(torch.rand(2, 1, 28, 28)).sum().backward()
    model, images = make(28).eval(), random_images(2, 1, 28, 28)
    with torch.device("meta"):
        output = model(images)
    assert torch.equal(output, model(images))


def test_the_pretrained_network_is_the_same_whatever_the_defaults():
    images = random_images(2, 1, 42, 42)
    expected = load_pretrained()(images)
    with torch.device("meta"):
        assert torch.equal(load_pretrained()(images), expected)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(load_pretrained()(images), expected)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("kind", [np.int64, np.array, torch.tensor], ids=["int64", "array", "tensor"])
def test_all_sizes_and_numbers_of_a_network_are_taken_in_any_kind(kind):
    options = {"output_size": kind(14), "padding_value": kind(1), "iterations": kind(2)}
    stn = SpatialTransformer.for_images(kind(20), kind(3), "similarity", **options)
    assert (stn.output_size, stn.iterations) == ((14, 14), 2)
    assert stn(random_images(2, 3, 20, 20)).shape == (2, 3, 14, 14)
    images = random_images(2, 3, 20, 24)
    assert SpatialTransformer.for_images(images.shape, 3, output_size=images.shape)(images).shape == images.shape
    model = STNClassifier(kind(28), kind(1), kind(4), output_size=kind(20))
    assert model(random_images(2, 1, 28, 28)).shape == (2, 4)
    assert DigitCNN((9, 1, 20, 30), dropout=np.float32(0.25), width=torch.tensor(0.5)).conv1.out_channels == 5


def test_an_output_size_in_an_array_is_the_classifiers_too():
    model = STNClassifier((20, 31), output_size=np.array([9, 13]))
    assert model.classifier.image_size == (9, 13)
    with pytest.raises(ValueError, match=r"^output_size: expected"):
        STNClassifier(28, output_size=0)


@pytest.mark.parametrize(
    ("options", "name"), [({"dropout": 1.5}, "dropout"), ({"dropout": "0"}, "dropout"), ({"width": np.inf}, "width")]
)
def test_numbers_of_a_network_that_do_not_fit_are_named(options, name):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        DigitCNN(28, **options)


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
