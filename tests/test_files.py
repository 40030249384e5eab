"""Files appear whole or not at all, whoever else writes them, and whatever lies beside them."""

import os
import stat
import subprocess
import sys
import threading

import pytest

from stncourse._files import check_writable, replacing


def write(path, content):
    with replacing(path, text=True) as file:
        file.write(content)


def test_the_new_content_takes_the_old_ones_place_and_nothing_else_stays(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    write(path, "new θ")
    assert path.read_text(encoding="utf-8") == "new θ"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_as_long_as_the_file_system_takes(tmp_path):
    path = tmp_path / ("é" * 127)
    write(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_after_an_error_the_old_content_is_still_there(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail():
        with replacing(path, text=True) as file:
            file.write("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "real", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_a_planted_link_under_a_guessable_name_is_not_followed(tmp_path):
    victim, path = tmp_path / "victim", tmp_path / "a.json"
    victim.write_text("precious")
    for name in (".a.json.new", ".a.json." + 16 * "0" + ".new"):
        (tmp_path / name).symlink_to(victim)
    write(path, "new")
    assert victim.read_text() == "precious"
    assert path.read_text() == "new"


def test_many_writers_at_once_all_succeed_and_no_reader_sees_a_mixture(tmp_path):
    path, errors = tmp_path / "a.json", []
    write(path, "0" * 100_000)

    def work(digit):
        try:
            for _ in range(25):
                write(path, digit * 100_000)
                seen = path.read_text()
                assert len(seen) == 100_000
                assert len(set(seen)) == 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(digit,)) for digit in "1234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_goes_with_the_next_write_and_a_living_ones_stays(tmp_path):
    path = tmp_path / "a.json"
    script = (
        "import sys\nfrom stncourse._files import replacing\n"
        f"with replacing({str(path)!r}) as file:\n"
        "    file.write(b'half')\n    print('in', flush=True)\n    sys.stdin.read()"
    )
    writer = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert writer.stdout.readline().strip() == b"in"
        write(path, "first")
        assert len(list(tmp_path.iterdir())) == 2  # the living one's is not touched
    finally:
        writer.kill()
        writer.wait()
        writer.stdin.close()
        writer.stdout.close()
    write(path, "second")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "second"


@pytest.mark.skipif(os.name == "nt", reason="permissions of Unix")
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "ordinary").write_text("")
    write(tmp_path / "ours", "")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ordinary", "ours")}
    assert len(modes) == 1


@pytest.mark.skipif(os.name == "nt", reason="permissions of Unix")
@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_a_file_keeps_its_permissions_also_while_it_is_written(tmp_path, mode):
    path = tmp_path / "private"
    path.write_text("old")
    path.chmod(mode)
    with replacing(path, text=True) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == mode
        file.write("new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_read_only_file_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text("old")
    path.chmod(0o444)
    # For root too, who may write everything.
    monkeypatch.setattr(os, "access", lambda path, mode: bool(os.stat(path).st_mode & stat.S_IWUSR))
    with pytest.raises(PermissionError, match="is read-only"):
        write(path, "new")
    with pytest.raises(PermissionError, match=r"^save: expected a file that can be replaced, .* is read-only$"):
        check_writable("save", path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners of Unix")
def test_somebody_elses_file_in_a_folder_like_tmp_is_said_at_the_start(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text("old")
    stranger = path.stat().st_uid + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    assert check_writable("save", path) == path
    tmp_path.chmod(0o1777)
    with pytest.raises(PermissionError, match=r"^save: .* belongs to somebody else"):
        check_writable("save", path)
    assert check_writable("save", tmp_path / "new") == tmp_path / "new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of Unix")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe, seen = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: seen.append(pipe.read_text()), daemon=True)
    reader.start()
    write(pipe, "through")
    reader.join(300)
    assert seen == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_what_cannot_be_written_is_said_by_name(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"^save: expected a file"):
        check_writable("save", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^save: expected a file in a folder that exists"):
        check_writable("save", tmp_path / "no" / "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"^save: "):
        check_writable("save", tmp_path / "file" / "x")
    assert check_writable("save", str(tmp_path / "x")) == tmp_path / "x"
    for name in ("a\0b", "x" * 300):
        with pytest.raises((ValueError, OSError), match=r"^save: "):
            check_writable("save", tmp_path / name)
    longest = tmp_path / ("é" * 127)
    assert check_writable("save", longest) == longest
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
