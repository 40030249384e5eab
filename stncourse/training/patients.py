"""The clinic's patients: a transformer in front of one linear layer that cannot read crooked digits without it.

Whether the transformer works decides whether anything is learned: a patient is trained in seconds, and ill or well is
seen in its accuracy. Each ailment is one small change to a healthy set-up.
"""

import functools
import hashlib
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import nn

from stncourse import _check
from stncourse.data.digits import BACKGROUND
from stncourse.data.distortions import distort, distorted_test
from stncourse.data.mnist import load_digits
from stncourse.training.fit import fit
from stncourse.training.recipes import FAST_RECIPE
from stncourse.transformer.spatial_transformer import SpatialTransformer
from stncourse.transformer.theta import affine_theta

_CANVAS, _OUTPUT = 42, 28
_RECIPE = FAST_RECIPE.but(epochs=3, learning_rate=0.003, localization_factor=1.0, localization_until=1.0)
_PROBES = 50


class WardNetwork(nn.Module):
    """A spatial transformer from 42×42 to 28×28 pixels (``stn``), and one linear layer (``linear``)."""

    def __init__(self):
        super().__init__()
        self.stn = SpatialTransformer.for_images(_CANVAS, output_size=_OUTPUT, padding_value=BACKGROUND)
        self.linear = nn.Linear(_OUTPUT**2, 10)

    def forward(self, images):
        """Normalised images ``(N, 1, 42, 42)`` -> log-probabilities ``(N, 10)``."""
        return self.linear(self.stn(images).flatten(1)).log_softmax(dim=1)

    def __repr__(self):  # the parts' own would name the ailment
        return f"WardNetwork({_CANVAS}×{_CANVAS} → transformer → {_OUTPUT}×{_OUTPUT} → linear → 10)"


class Patient:
    """A network and its training, perhaps ill: see :func:`mystery_patient`.

    Attributes:
        model: the :class:`WardNetwork`; untrained, until ``train`` is called.
        digits: what it learns from, :class:`stncourse.Digits` of 42×42 pixels.
        test: what it is measured on.
    """

    def __init__(self, name, seed, ailment):
        self._name, self._seed, self._ailment = name, seed, ailment
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.manual_seed(seed)
            self.model = WardNetwork()
            self.digits, self.test = _crooked_digits()
            self._recipe = _RECIPE
            _AILMENTS[ailment].fall_ill(self)

    def __repr__(self):
        when = "before" if self.model.training else "after"
        return f"{self._name}, {when} the training run: a transformer and one linear layer"

    def train(self):
        """Train ``model`` on ``digits``, for seconds. Returns the :class:`stncourse.History`, with θ of 50 digits."""
        options = {"seed": self._seed, "probe": self.test.images[:_PROBES], "probe_every": 8, "verbose": False}
        return fit(self.model, self.digits, self.test, self._recipe, "cpu", **options)

    def treat(self, diagnosis):
        """The same patient before the training, treated for ``diagnosis``, and for nothing else.

        Raises:
            TypeError, ValueError: no diagnosis of the ward.
        """
        patient = Patient(f"{self._name}, treated for “{_diagnosis(diagnosis)}”", self._seed, self._ailment)
        _AILMENTS[diagnosis].cure(patient)
        return patient

    def check(self, diagnosis):
        """Whether the patient suffers from ``diagnosis``: a :class:`Verdict`, true or false.

        Raises:
            TypeError, ValueError: no diagnosis of the ward.
        """
        if _diagnosis(diagnosis) == self._ailment:
            return Verdict(True, f"Right: {diagnosis}.")
        return Verdict(False, f"No. “{diagnosis}” would show in this: {_AILMENTS[diagnosis].shows}. Test that.")


@dataclass(frozen=True)
class Verdict:
    """What :meth:`Patient.check` says of a diagnosis."""

    right: bool
    words: str

    def __bool__(self):
        return self.right

    def __repr__(self):
        return self.words


def mystery_patient(number):
    """A network that may be ill, to be examined, named and treated: the same for a number, always.

    What it may suffer from is ``stncourse.training.patients.AILMENTS``; ``"healthy"`` is among them. No two of the
    first ten patients suffer from the same, nor of the next ten.

    Args:
        number: 0, 1, 2, …

    Returns:
        :class:`Patient`: ``.model``, not trained yet, ``.digits`` and ``.test``; ``.train()`` trains it in seconds and
        returns the history; ``.check(diagnosis)`` tells whether you are right, and ``.treat(diagnosis)`` is the same
        patient, treated for that.

    Raises:
        TypeError, ValueError: not a number from 0 on.

    >>> patient = mystery_patient(0)
    >>> patient
    mystery patient 0, before the training run: a transformer and one linear layer
    >>> patient.model
    WardNetwork(42×42 → transformer → 28×28 → linear → 10)
    >>> patient.check("wrong labels")
    No. “wrong labels” would show in this: the labels are not those of the digits. Test that.
    """
    number = _check.positive_int("number", number, minimum=0)
    ward, bed = divmod(number, len(AILMENTS))
    order = sorted(AILMENTS, key=lambda ailment: hashlib.sha256(f"{ward} {ailment}".encode()).digest())
    return Patient(f"mystery patient {number}", number, order[bed])


def patient_with(ailment, seed=0):
    """A patient of whom it is known what he suffers from: one of ``AILMENTS``.

    Raises:
        TypeError, ValueError: no ailment of the ward, or no seed.

    >>> patient_with("nearest").model.stn.sampler.mode
    'nearest'
    """
    return Patient(f"patient with “{_diagnosis(ailment)}”", _check.seed("seed", seed), ailment)


def _diagnosis(name):
    _check.choice("diagnosis", name, AILMENTS)
    return name


@functools.lru_cache(maxsize=1)
def _crooked_digits():
    """The shipped digits turned, scaled and moved, always in the same way: to train on, and to test on."""
    train, test = (load_digits(part, source="offline") for part in ("train", "test"))
    crooked = distort(train.images, "RTS", torch.Generator().manual_seed(1)).images
    return replace(train, images=crooked), distorted_test(test, "RTS")


class _Ailment(NamedTuple):
    shows: str  #: where it shows, as the end of a sentence
    fall_ill: callable  #: makes a healthy patient ill
    cure: callable  #: undoes that


def _sampler(name, ill, well):
    """An ailment of the sampler: an attribute, and its value in the ill and in the well."""
    return tuple(lambda patient, value=value: setattr(patient.model.stn.sampler, name, value) for value in (ill, well))


def _factor(ill):
    """An ailment of the recipe: the localization network's learning rate, as a multiple of the other's."""

    def set_to(patient, value):
        patient._recipe = _RECIPE.but(localization_factor=value)

    return functools.partial(set_to, value=ill), functools.partial(set_to, value=_RECIPE.localization_factor)


def _start_at_identity(patient):
    patient.model.stn.localization.start_at(affine_theta().flatten())


def _start_beside(patient):
    patient.model.stn.localization.start_at(affine_theta(translation=(2.5, 0.0)).flatten())


def _start_at_random(patient):
    nn.init.normal_(patient.model.stn.localization.fc_loc[-1].weight)


def _use_the_first_theta(patient):
    def first_for_all(module, arguments, output):
        return output[:1].expand_as(output)

    patient._hook = patient.model.stn.localization.register_forward_hook(first_for_all)


def _use_each_theta(patient):
    if hasattr(patient, "_hook"):
        patient._hook.remove()


def _shuffle_labels(patient):
    order = torch.randperm(len(patient.digits), generator=torch.Generator().manual_seed(patient._seed))
    patient.digits = replace(patient.digits, labels=patient.digits.labels[order])


def _right_labels(patient):
    patient.digits = _crooked_digits()[0]


def _nothing(patient):
    pass


_AILMENTS = {
    "healthy": _Ailment("all seven tests are passed, and θ moves during the training run", _nothing, _nothing),
    "nearest": _Ailment(
        "no gradient reaches the localization network, though its frame lies on the image",
        *_sampler("mode", "nearest", "bilinear"),
    ),
    "not trained": _Ailment("a gradient arrives, yet after the training θ is what it was before", *_factor(0.0)),
    "too fast": _Ailment(
        "nothing before the training, right labels, and then θ flies off, or gets stuck at the same for every image",
        *_factor(10.0),
    ),
    "starts beside": _Ailment("before the training no frame lies on its image", _start_beside, _start_at_identity),
    "random start": _Ailment(
        "before the training θ already differs from image to image", _start_at_random, _start_at_identity
    ),
    "one θ for all": _Ailment(
        "other weights in the last layer do not make θ differ",
        _use_the_first_theta,
        _use_each_theta,
    ),
    "two rulers": _Ailment(
        "before the training, with θ at the identity, the pictures are changed all the same",
        *_sampler("align_corners", True, False),
    ),
    "bright frame": _Ailment(
        "a place outside the image does not have the background's colour", *_sampler("padding_value", 0.0, BACKGROUND)
    ),
    "wrong labels": _Ailment("the labels are not those of the digits", _shuffle_labels, _right_labels),
}

#: What a patient may suffer from.
AILMENTS = tuple(_AILMENTS)
