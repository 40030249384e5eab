"""Building blocks of the course on Spatial Transformer Networks.

Every public name is importable from here; its module is loaded when it is first used, so that ``import stncourse``
costs little more than ``import torch``.
"""

from importlib import import_module

__version__ = "0.1.0"

_MODULE_OF = {
    name: module
    for module, names in {
        "augmentation": "augment",
        "animation": "Film animate_training",
        "checkpoints": "CheckpointError",
        "control_points": "control_points_playground",
        "data": "BACKGROUND MNIST_MEAN MNIST_STD Batches Digits DigitsDataset MNISTUnavailable "
        "denormalize load_digits normalize",
        "diagnosis": "Diagnosis diagnose",
        "distortions": "KINDS Distorted distort",
        "exercises": "CheckResult check progress",
        "grids": "AffineGrid AttentionGrid ProjectiveGrid SimilarityGrid affine_grid affine_theta projective_grid "
        "projective_theta",
        "images": "ImageSet from_dataset load_fashion_mnist load_images",
        "localization": "LocalizationNetwork",
        "models": "DigitCNN STNClassifier load_pretrained load_weights save_weights",
        "paper_models": "PAPER_MODELS PaperNetwork",
        "reproduce": "load_table1",
        "sampling": "Sampler bilinear_sample",
        "splines": "ThinPlateSplineGrid",
        "training": "BEST_RECIPE FAST_RECIPE TUTORIAL_RECIPE History Metrics Recipe evaluate fit load_recorded",
        "transformer": "SpatialTransformer Transformed",
        "widgets": "theta_playground",
        "visualization": "plot_history plot_theta show_before_after show_digits show_grid",
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
