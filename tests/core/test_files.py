import errno
import os
import signal
import subprocess
import sys

import pytest

from patchseg.core import files
from patchseg.core.errors import InputError

KILLED = """
import os, sys
from patchseg.core import files
with files.replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path):
    """Not what another one is writing now, and not what a user calls so."""
    path = tmp_path / "a.txt"
    done = subprocess.run([sys.executable, "-c", KILLED, path])
    assert done.returncode == -signal.SIGKILL and len(list(tmp_path.glob(".partial-*.txt"))) == 1
    with files.replacing(tmp_path / "b.txt"):
        files.write_text(path, "whole")
        assert len(list(tmp_path.glob(".partial-*.txt"))) == 1
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.txt", "b.txt"]
    assert path.read_text() == "whole"


def test_what_cannot_be_swept_is_in_nobodys_way(tmp_path):
    left = tmp_path / ".partial-left"
    left.mkdir()
    os.utime(left, (0, 0))
    files.write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole" and left.is_dir()


def test_what_another_machine_left_goes_after_a_day(tmp_path):
    old, new = tmp_path / ".partial-old.nii", tmp_path / ".partial-new.nii"
    for one in (old, new):
        one.touch()
    os.utime(old, (0, 0))
    files.write_text(tmp_path / "a.txt", "")
    assert sorted(one.name for one in tmp_path.iterdir()) == [".partial-new.nii", "a.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disc_that_takes_no_more_is_said_in_words(tmp_path, number):
    with (
        pytest.raises(InputError, match=r"a.txt: cannot be written \(.*; free space on the disc"),
        files.replacing(tmp_path / "a.txt"),
    ):
        raise OSError(number, os.strerror(number))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_none_and_a_name_that_is_too_long_are_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written .*; write to another folder"):
        files.write_text(tmp_path / "file" / "a.txt", "")
    with pytest.raises(InputError, match="cannot be written .*; give the image a shorter name"):
        files.write_text(tmp_path / ("x" * 256), "")


@pytest.mark.parametrize("name", ["x" * 251 + ".txt", "a." + "y" * 240 + ".txt", "a.weights.h5"])
def test_names_up_to_the_longest_are_written(tmp_path, name):
    files.write_text(tmp_path / name, "whole")
    assert (tmp_path / name).read_text() == "whole"
