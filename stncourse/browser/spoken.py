"""A widget whose page speaks the student's language."""

import anywidget
import traitlets

from stncourse._language import for_page


class SpokenWidget(anywidget.AnyWidget):
    """An anywidget with ``words``, for ``language.js``: what its script says in English -> the student's language."""

    words = traitlets.Dict().tag(sync=True)

    @traitlets.default("words")
    def _of_the_page(self):
        return for_page()
