"""Moving θ by hand: what is shown (``scene``), the widgets (``theta``, ``sheet``) and the page."""
