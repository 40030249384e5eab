"""The panel of ``fit(…, watch=images)``: a widget, drawn by ``watch.js``. Imported only where it is shown."""

import traitlets
from IPython.display import display

from stncourse.browser.scripts import joined
from stncourse.browser.spoken import SpokenWidget


class Panel(SpokenWidget):
    """What is to be seen of the watched images, and how the training goes; it stays when the training has ended.

    It knows numbers and bytes only: whatever it held, ipywidgets would keep for as long as the kernel lives.
    """

    _esm = joined("training/watch.js")
    scene = traitlets.Dict().tag(sync=True)  #: what does not change: the inputs, sizes and names
    now = traitlets.Dict().tag(sync=True)  #: the picture, the curve and where the training is: one message

    def display(self):
        """Put it under the running cell."""
        data, metadata = self._repr_mimebundle_()
        # Without words for a page that cannot show it: so it leaves nothing in the notebook that could be compared.
        data.pop("text/plain")
        display(data, metadata=metadata, raw=True)
