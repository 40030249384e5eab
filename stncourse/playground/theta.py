"""The θ playground: move θ by hand and watch digits warp. A thin layer of ipywidgets over ``scene``.

The picture is drawn by the browser, or by the kernel with ``grid_sample``: see ``device``. θ is in one place, ``pose``.
"""

from stncourse.playground.controls import BROWSER, CONTROLS
from stncourse.playground.parameters import IDENTITY
from stncourse.playground.theta_widget import ThetaPlayground


def theta_playground(
    digits=None,
    model=None,
    controls=CONTROLS,
    theta=IDENTITY,
    index=0,
    count=1,
    device=BROWSER,
    *,
    tool="hand",
    follow=False,
    pixel=None,
):
    """Move θ by hand and watch digits warp, live. The frame on the input can be dragged; the sliders follow.

    Args:
        digits: :class:`stncourse.Digits`, or an :class:`stncourse.ImageSet` of grey images, to pick from; its numbers
            normalise the images. Default: the shipped test digits; with a model of another image size than theirs, the
            same distorted by ``"RTS"``.
        model: None; a trained :class:`stncourse.STNClassifier` with an affine θ; or ``"pretrained"`` for the shipped
            one. With a model, its answers are shown live, a button lets its STN look and keeps the score, and
            all is sampled as it does: what it pads with is the background.
        controls: which of ``CONTROLS`` to show. ``"draw"``: draw a digit of your own. ``"pull"``, with a model: the
            slope that teaches θ. ``"pixel"``: where one output pixel looks, with the arithmetic.
        theta: the six numbers to start from, row by row; or a ``(2, 3)`` or ``(1, 2, 3)`` tensor.
        index: which digit to start with.
        count: how many digits to show at once, 1 to 4.
        device: what warps the picture. ``"browser"``: the page itself, which follows the hand best, also while a cell
            trains. ``"cpu"``, ``"cuda"``, …: ``grid_sample`` in the kernel, and a picture sent for every move; it needs
            nothing but ipywidgets in the page, and has sliders in place of the hand. Both show the same pixels.
        tool: which of ``TOOLS`` is in hand at the start.
        follow: whether the model's STN looks at each new image, and at a drawing while it is drawn.
        pixel: ``(row, column)`` of the output pixel that ``tool="pixel"`` asks first; default: the middle one.

    Returns:
        ThetaPlayground: a widget that shows itself as the last value of a cell. ``.settings`` is what it is set to,
        ``.frame`` what it shows, ``.image`` the digit, or what was drawn; with a model, ``.score`` is the score,
        ``.attempts`` what it is made of.

    Convention:
        θ maps output → input (there is a switch to see the other direction). The sliders are the parameters of
        :func:`stncourse.affine_theta`: they move the *frame* on the input, so the content moves the other way.

    Raises:
        TypeError, ValueError: an argument is not of the kind above.

    >>> playground = theta_playground(theta=(1, 0, 0.4, 0, 1, 0))
    >>> playground.frame.words
    'The digit comes out moved left by 0.40.'
    """
    return ThetaPlayground(digits, model, controls, theta, index, count, device, tool, follow, pixel)
