"""The doctor finds each illness, and says what to do."""

import io

import pytest
from run_python import run_python

from stncourse import doctor


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STNCOURSE_DATA_DIR", str(tmp_path / "cache"))


def run():
    out = io.StringIO()
    code = doctor.report(out)
    return code, out.getvalue()


def test_a_healthy_machine():
    code, text = run()
    assert code == 0
    assert text.count("ok ") == len(doctor.CHECKS)
    assert "WRONG" not in text
    assert "6,000 digits are here offline" in text


def test_the_command_gives_its_exit_code():
    assert "Everything the course needs is here." in run_python("-m", "stncourse", "doctor")


def test_an_unwritable_cache_is_named_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STNCOURSE_DATA_DIR", str(tmp_path / "file" / "cache"))
    code, text = run()
    assert code == 1
    assert "WRONG  cache" in text
    assert "STNCOURSE_DATA_DIR" in text


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-package"))
    code, text = run()
    assert code == 1
    assert "pip install no-such-package" in text


def test_a_broken_sampler_is_found(monkeypatch):
    import stncourse

    real = stncourse.bilinear_sample
    monkeypatch.setattr(stncourse, "bilinear_sample", lambda *arguments: real(*arguments) + 0.01)
    code, text = run()
    assert code == 1
    assert "WRONG  sampler" in text
    assert "off by 0.01" in text


def test_a_check_that_raises_is_a_finding_and_not_the_end(monkeypatch):
    def broken():
        raise ImportError("no ipywidgets here")

    monkeypatch.setitem(doctor.CHECKS, "widgets", broken)
    code, text = run()
    assert code == 1
    assert "WRONG  widgets   ImportError: no ipywidgets here" in text
    assert "sampler" in text.split("no ipywidgets here")[1]  # the later checks ran
