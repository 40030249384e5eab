"""The site's search in languages that do not part their words by blanks, or hang something on them: Chinese, Korean."""

import re

from sphinx.search import SearchLanguage

_SIGNS = "一-鿿가-힣"


class SearchByPairs(SearchLanguage):
    """What is found are two signs that follow each other; in between, words in Latin letters as they are.

    >>> SearchByPairs({}).split("采样网格 grid：θ")
    ['采样', '样网', '网格', 'grid', 'θ']
    """

    lang, language_name = "zh", "Chinese and Korean"
    js_splitter_code = f"""
var splitQuery = (query) =>
  (query.match(/[{_SIGNS}]+|(?:(?![{_SIGNS}])[\\p{{Letter}}\\p{{Number}}_])+/gu) ?? []).flatMap((run) =>
    /^[{_SIGNS}]{{2}}/u.test(run) ? [...run].slice(1).map((_, i) => run.slice(i, i + 2)) : [run]);
"""
    _runs = re.compile(rf"([{_SIGNS}]{{2,}})|(?:(?![{_SIGNS}])\w)+|[{_SIGNS}]")

    def split(self, text):
        words = []
        for run in self._runs.finditer(text):
            words += [run[1][i : i + 2] for i in range(len(run[1]) - 1)] if run[1] else [run[0]]
        return words
