"""What the site itself says around a notebook's text, in each language: translations/site.toml."""

import tomllib
from pathlib import Path
from types import SimpleNamespace

_FILE = Path(__file__).parents[2] / "translations" / "site.toml"
#: Language -> its words, as attributes. ``folder`` is where its pages lie in the site, ``name`` what it calls itself.
WORDS = {
    language: SimpleNamespace(**words) for language, words in tomllib.loads(_FILE.read_text(encoding="utf-8")).items()
}
