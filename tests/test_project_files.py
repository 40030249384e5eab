"""What lies around the package says the same as the package."""

import importlib.util
import re
import shutil
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from run_python import run_python

PROJECT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
#: What the READMEs say beside the site's address as long as the course is published nowhere.
NO_SITE_YET = {
    "README.md": " (no address yet: `make stamp` fills it in, `make site` builds the site here)",
    "README.zh-CN.md": "（还没有网址：`make stamp` 会把它填上，`make site` 在你的机器上生成网站）",
    "README.ko.md": "(아직 주소가 없습니다. `make stamp`가 주소를 채워 넣고, "
    "`make site`는 이 컴퓨터에 사이트를 만듭니다)",
}
#: What conda-forge calls a package that PyPI calls otherwise.
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def split_bound(requirement):
    name, bound = re.fullmatch(r"([A-Za-z0-9_-]+)>=([\d.]+)", requirement).groups()
    return name, bound


def test_conda_environment_has_the_same_packages_and_bounds_as_pyproject():
    project = SETTINGS["project"]
    wanted = dict(map(split_bound, project["dependencies"] + project["optional-dependencies"]["course"]))
    wanted = {CONDA_NAMES.get(name, name): bound for name, bound in wanted.items()}
    wanted["python"] = project["requires-python"].removeprefix(">=")
    listed = re.findall(
        r"(?m)^  - ([A-Za-z0-9_-]+>=[\d.]+)$", (PROJECT / "environment.yml").read_text(encoding="utf-8")
    )
    assert dict(map(split_bound, listed)) == wanted


def test_requirements_have_lower_bounds_only():
    project = SETTINGS["project"]
    for requirement in project["dependencies"] + [
        r for group in project["optional-dependencies"].values() for r in group
    ]:
        split_bound(requirement)


def test_the_oldest_environment_is_made_from_the_oldest_python_and_the_bounds_themselves():
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    oldest = SETTINGS["project"]["requires-python"].removeprefix(">=")
    assert re.search(r"(?m)^OLDEST_PYTHON \?= (.*)$", makefile)[1] == f"python{oldest}"
    assert "--resolution lowest-direct --editable '.[course,dev]'" in makefile


def test_readme_names_every_notebook_and_every_make_target_it_speaks_of_exists():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    for path in sorted((PROJECT / "notebooks").glob("*.ipynb")):
        assert f"notebooks/{path.name}" in readme
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?m)(?:`|^    )make ([a-z][a-z-]+)", readme):
        assert re.search(rf"(?m)^{target}:", makefile), target


@pytest.mark.parametrize("name", NO_SITE_YET)
def test_readme_badges_name_the_one_repository(name):
    readme = (PROJECT / name).read_text(encoding="utf-8")
    named = re.findall(r"colab\.research\.google\.com/github/([^/\s]+/[^/\s]+)/blob", readme)
    named += re.findall(r"git clone https://github\.com/(\S+)\.git", readme)
    assert named
    assert set(named) == {SETTINGS["tool"]["stncourse"]["repository"]}


@pytest.fixture
def copy(tmp_path):
    """A copy of what the stamp writes into, and the stamp itself."""
    shutil.copytree(PROJECT / "notebooks", tmp_path / "notebooks")
    for name in ("pyproject.toml", *NO_SITE_YET):
        shutil.copy(PROJECT / name, tmp_path)
    spec = importlib.util.spec_from_file_location("stamp_repository", PROJECT / "tools" / "stamp_repository.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return tmp_path, module.stamp


def test_one_command_stamps_the_repository_everywhere(copy):
    folder, stamp = copy
    before = {path.name: path.read_text(encoding="utf-8") for path in folder.rglob("*.*") if path.is_file()}
    changed = stamp(folder, "some-body/some.course")
    assert len(changed) == 1 + len(NO_SITE_YET) + len(list((folder / "notebooks").glob("*.ipynb")))
    settings = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["stncourse"]["repository"] == "some-body/some.course"
    addresses = settings["project"]["urls"]
    assert addresses.pop("Website") == "https://some-body.github.io/some.course/"
    assert all(re.match(r"https://github\.com/some-body/some\.course(/|$)", address) for address in addresses.values())
    old, old_site = SETTINGS["tool"]["stncourse"]["repository"], SETTINGS["project"]["urls"]["Website"]
    readmes = [folder / name for name in NO_SITE_YET]
    for path in [folder / "pyproject.toml", *readmes, *(folder / "notebooks").glob("*.ipynb")]:
        text = path.read_text(encoding="utf-8")
        assert path.suffix == ".toml" or "github/some-body/some.course/blob" in text
        back = text.replace("https://some-body.github.io/some.course/", old_site).replace("some-body/some.course", old)
        assert back == before[path.name].replace(NO_SITE_YET.get(path.name, "\0"), "")  # and nothing else changed
    assert all("(https://some-body.github.io/some.course/)" in path.read_text(encoding="utf-8") for path in readmes)
    assert stamp(folder) == []


def test_what_is_published_nowhere_stays_so_and_can_be_so_again(copy):
    folder, stamp = copy
    stamp(folder, "OWNER/REPO")
    before = {path.name: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    assert stamp(folder) == []
    stamp(folder, "some-body/course")
    assert not any(words in (folder / name).read_text(encoding="utf-8") for name, words in NO_SITE_YET.items())
    stamp(folder, "OWNER/REPO")
    assert before == {path.name: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


@pytest.mark.parametrize(("name", "none_yet"), NO_SITE_YET.items())
def test_readme_says_beside_the_sites_address_whether_it_is_one(name, none_yet):
    readme = (PROJECT / name).read_text(encoding="utf-8")
    published = SETTINGS["tool"]["stncourse"]["repository"] != "OWNER/REPO"
    link = f"]({SETTINGS['project']['urls']['Website']})**"
    assert link in readme
    assert ((link + none_yet) in readme) is not published


@pytest.mark.parametrize(
    ("repository", "address"),
    [
        ("Me/Course", "https://me.github.io/Course/"),
        ("me/Me.github.io", "https://me.github.io/"),
        ("a-b/c.d", "https://a-b.github.io/c.d/"),
    ],
)
def test_the_stamp_knows_where_github_publishes_a_website(copy, repository, address):
    folder, stamp = copy
    stamp(folder, repository)
    once = {path.name: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    for each in ("first/one", "first/first.github.io", repository):  # what was stamped once can be stamped again
        stamp(folder, each)
    assert once == {path.name: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    settings = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["urls"]["Website"] == address
    assert f"({address})" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("wrong", ["nobody", "a/b/c", "", 'a/b"'])
def test_stamp_refuses_what_is_not_a_repository(copy, wrong):
    folder, stamp = copy
    with pytest.raises(ValueError, match="owner/repo"):
        stamp(folder, wrong)


def test_code_and_notebooks_pass_the_linter():
    for command in (["check"], ["format", "--check"]):
        run_python("-m", "ruff", *command, PROJECT)


# What is built for others


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder where `make table1` has run, and then in its dist/ a wheel and a source archive were made."""
    folder = tmp_path_factory.mktemp("build")
    for name in ("stncourse", "tests"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, folder)
    for name in ("st-fcn-aff_r.stn.safetensors", "st-fcn-tps_e.stn.safetensors"):
        (folder / "stncourse" / "assets" / "table1" / name).write_bytes(b"large")
    code = "from setuptools import build_meta as b; print(b.build_sdist('dist')); print(b.build_wheel('dist'))"
    run_python("-c", code, cwd=folder)
    return folder


def test_the_wheel_carries_the_package_whole_and_nothing_large(built):
    with zipfile.ZipFile(next(built.glob("dist/*.whl"))) as wheel:
        carried = {name for name in wheel.namelist() if ".dist-info/" not in name}
        metadata = message_from_bytes(wheel.read(next(n for n in wheel.namelist() if n.endswith("/METADATA"))))
    files = {path for path in (built / "stncourse").rglob("*") if path.is_file()}
    large = set((built / "stncourse" / "assets" / "table1").glob("st-fcn*.safetensors"))
    assert large
    assert carried == {path.relative_to(built).as_posix() for path in files - large}
    addresses = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    repository = SETTINGS["tool"]["stncourse"]["repository"]
    assert addresses.pop("Website") == SETTINGS["project"]["urls"]["Website"]
    assert all(f"{address}/".startswith(f"https://github.com/{repository}/") for address in addresses.values())


def test_the_source_archive_builds_the_same_package_and_has_no_tests(built):
    """Tests would need the notebooks, benchmarks and tools as well: those who test clone the repository."""
    with tarfile.open(next(built.glob("dist/*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "stncourse/assets/digits.npz"} <= names
    assert not [name for name in names if "test" in name or re.search("table1/st-fcn.*safetensors", name)]
