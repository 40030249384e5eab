"""Building blocks of the course on Spatial Transformer Networks.

Every public name is importable from here; its module is loaded when it is first used, so that ``import stncourse``
costs little more than ``import torch``.
"""

from importlib import import_module

__version__ = "0.1.0"

_MODULE_OF = {
    name: module
    for module, names in {
        "transformer.families": "AffineGrid AttentionGrid ProjectiveGrid RotationGrid SimilarityGrid TranslationGrid",
        "transformer.grids": "affine_grid pixel_centers projective_grid",
        "transformer.localization": "LocalizationNetwork",
        "transformer.sampling": "Sampler bilinear_sample",
        "transformer.spatial_transformer": "SpatialTransformer Transformed",
        "transformer.splines": "ThinPlateSplineGrid",
        "transformer.theta": "affine_theta projective_theta",
        "data.augmentation": "augment",
        "data.batches": "Batches DigitsDataset",
        "data.datasets": "from_dataset",
        "data.digits": "BACKGROUND Digits MNIST_MEAN MNIST_STD denormalize normalize",
        "data.distortions": "Distorted KINDS distort",
        "data.cache": "MNISTUnavailable",
        "data.fashion_mnist": "load_fashion_mnist",
        "data.folders": "load_images",
        "data.images": "ImageSet",
        "data.lines": "Curved curve_lines digit_lines",
        "data.mnist": "load_digits",
        "data.sequences": "Sequences digit_sequences",
        "data.svhn": "load_svhn",
        "training.checkpoints": "CheckpointError",
        "training.diagnosis": "Diagnosis diagnose",
        "training.distributed": "processes",
        "training.evaluation": "evaluate",
        "training.history": "History Metrics load_recorded",
        "training.recipes": "BEST_RECIPE FAST_RECIPE Recipe TUTORIAL_RECIPE",
        "training.fit": "fit",
        "training.prediction": "predict",
        "training.patients": "mystery_patient",
        "networks.digits": "DigitCNN STNClassifier",
        "networks.weights": "load_pretrained load_weights save_weights",
        "figures.confusion": "show_confusion",
        "figures.curves": "plot_history plot_theta",
        "figures.before_after": "show_before_after",
        "figures.digits": "show_digits show_grid",
        "figures.figure": "COLORS Figure draw_frame draw_image to_pixels",
        "figures.film": "Film animate_training",
        "playground.sheet": "control_points_playground",
        "playground.theta": "theta_playground",
        "paper.cells": "load_table1",
        "paper.networks": "PAPER_MODELS PaperNetwork",
        "exercises": "CheckResult check progress",
        "exercises.guess": "guess",
    }.items()
    for name in names.split()
}

__all__ = sorted(_MODULE_OF)


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'stncourse' has no attribute {name!r}")
    value = getattr(import_module(f"stncourse.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
