"""Where the frame is: θ, and what the sliders stand for. The one place that holds them; all else shows them."""

from stncourse.playground.parameters import LIMITS, compose, decompose, six_numbers


class Pose:
    """θ exactly as it was put, with the sliders' exact parameters. It changes by ``put`` and ``move`` only.

    Args:
        theta: the six numbers to start from; or a ``(2, 3)`` or ``(1, 2, 3)`` tensor or array.

    Attributes:
        theta: tuple of six numbers, row by row.
        parameters: dict with the keys of ``LIMITS``: what the sliders stand for. Sliders can only be on their steps.
        remark: where the parameters do not make this θ: the sentence that says so. Else empty.
        telling: whether its observers are being told: what changes in them now was moved by no hand.

    Raises:
        TypeError, ValueError: θ is not of the kind above.

    >>> pose = Pose((1, 0, 0.4, 0, 1, 0))
    >>> pose.observe(lambda pose: print(pose.theta))
    (1.0, 0.0, 0.4, 0.0, 1.0, 0.0)
    >>> pose.move("shift_x", -0.5)
    (1.0, 0.0, -0.5, 0.0, 1.0, 0.0)
    """

    def __init__(self, theta):
        self.parameters = dict.fromkeys(LIMITS, 0.0)
        self.telling = False
        self._observers = []
        self.put(theta)

    def observe(self, show):
        """Call ``show(pose)`` now and after every change, in the order in which observers came."""
        self._observers.append(show)
        self._tell([show])

    def put(self, theta):
        """Take a θ, exactly; the parameters come as near to it as the sliders reach."""
        self.theta = six_numbers(theta)
        parameters = decompose(self.theta)
        if parameters is None:
            self.remark = "The sliders cannot show this θ (scale x is 0); it is kept as it is."
        else:
            self.parameters = {name: min(max(parameters[name], low), high) for name, (low, high) in LIMITS.items()}
            apart = max(abs(a - b) for a, b in zip(compose(self.parameters), self.theta, strict=True))
            far = "The sliders cannot reach this θ; it is kept as it is, until you move one."
            self.remark = far if apart > 1e-4 else ""
        self._tell(self._observers)

    def move(self, name, value):
        """Change one parameter; the others stay exactly what they are, and θ is what they make."""
        self.parameters = self.parameters | {name: value}
        self.theta, self.remark = compose(self.parameters), ""
        self._tell(self._observers)

    def _tell(self, observers):
        self.telling = True
        try:
            for show in observers:
                show(self)
        finally:
            self.telling = False
