"""Write where the course is published into pyproject.toml, and from there into the READMEs and every notebook.

python tools/stamp_repository.py owner/repo
python tools/stamp_repository.py                 (writes the one in pyproject.toml everywhere again)
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1]
#: How the repository stands in each kind of file; the group around it is kept.
PLACES = (
    r"(colab\.research\.google\.com/github/)[^/\s\"]+/[^/\s\"]+(?=/blob/)",
    r"(REPOSITORY = \\?\")[^\"\\]+(?=\\?\")",
    r"(git clone https://github\.com/)[^\s\"]+(?=\.git)",
)
#: The same in pyproject.toml: the setting itself, and the addresses that a wheel carries.
SETTINGS = (r'(?m)^(repository = ")[^"]*(?=")', r'(?m)^(\w+ = "https://github\.com/)[^/\s"]+/[^/\s"]+')

NOWHERE = "OWNER/REPO"  # as long as the course is published nowhere
#: What the READMEs say beside the site's address as long as there is none.
NO_SITE_YET = {
    "README.md": " (no address yet: `make stamp` fills it in, `make site` builds the site here)",
    "README.zh-CN.md": "（还没有网址：`make stamp` 会把它填上，`make site` 在你的机器上生成网站）",
    "README.ko.md": "(아직 주소가 없습니다. `make stamp`가 주소를 채워 넣고, "
    "`make site`는 이 컴퓨터에 사이트를 만듭니다)",
}


def website(repository):
    """Where GitHub Pages publishes a repository; host names have no capitals.

    >>> website("Some-Body/course"), website("some-body/Some-Body.github.io")
    ('https://some-body.github.io/course/', 'https://some-body.github.io/')
    """
    owner, name = repository.split("/")
    host = f"{owner if repository == NOWHERE else owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def stamp(project, repository=None):
    """Stamp ``repository`` (default: the one in pyproject.toml) into the project; returns the files that changed."""
    settings = project / "pyproject.toml"
    told = tomllib.loads(settings.read_text(encoding="utf-8"))
    repository = told["tool"]["stncourse"]["repository"] if repository is None else repository
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"repository: expected owner/repo, got {repository!r}")
    changed = []
    for path in [settings, *(project / name for name in NO_SITE_YET), *sorted((project / "notebooks").glob("*.ipynb"))]:
        text = before = path.read_text(encoding="utf-8")
        for place in SETTINGS if path == settings else PLACES:
            text = re.sub(place, rf"\g<1>{repository}", text)
        text = text.replace(told["project"]["urls"]["Website"], website(repository))
        link = f"]({website(repository)})**"
        none_yet = link + NO_SITE_YET.get(path.name, "")
        text = text.replace(none_yet, link)
        if repository == NOWHERE:
            text = text.replace(link, none_yet)
        if text != before:
            path.write_text(text, encoding="utf-8")
            changed.append(path.name)
    return changed


if __name__ == "__main__":
    try:
        print("changed:", ", ".join(stamp(PROJECT, *sys.argv[1:2])) or "nothing")
    except ValueError as error:
        sys.exit(str(error))
