"""A program's file is replaced as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from gbproxy.connect.files import CannotChange, Original, location
from gbproxy.connect.program import ConfigFile
from gbproxy.connect.replacing import replace_all


def test_a_file_that_has_changed_since_it_was_read_is_left(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("a")
    original = Original.read(path)
    path.write_text("b")

    with pytest.raises(CannotChange, match="changed meanwhile"):
        replace_all([(original, "c")])

    assert path.read_text() == "b"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_has_appeared_since_is_left(tmp_path: Path) -> None:
    path = tmp_path / "config"
    original = Original.read(path)
    path.write_text("b")

    with pytest.raises(CannotChange, match="changed meanwhile"):
        replace_all([(original, "c")])

    assert path.read_text() == "b"


def test_files_that_are_already_in_place_are_taken_back(tmp_path: Path) -> None:
    names = ("there", "new", "both", "both/below")  # the fourth makes a folder of the third
    (tmp_path / "there").write_text("before")
    (tmp_path / "there").chmod(0o640)

    with pytest.raises(CannotChange, match="both cannot be written"):
        replace_all([(Original.read(tmp_path / name), "after") for name in names])

    assert (tmp_path / "there").read_text() == "before"
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o640
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {tmp_path / "there"}


def test_all_others_are_taken_back_where_one_cannot_be(tmp_path: Path) -> None:
    names = ("twice", "twice", "there", "both", "both/below")
    (tmp_path / "there").write_text("before")

    with pytest.raises(CannotChange, match="twice is changed and cannot be put back"):
        replace_all([(Original.read(tmp_path / name), "after") for name in names])

    assert (tmp_path / "there").read_text() == "before"
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {tmp_path / "there"}


def test_a_file_of_more_than_a_megabyte_is_left(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"a" * (1024 * 1024 + 1))

    with pytest.raises(CannotChange, match="larger than 1 MB"):
        Original.read(path)


def test_links_in_a_circle_are_said(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(CannotChange):
        Original.read(tmp_path / "a")


def test_the_first_file_that_is_there_is_the_one(tmp_path: Path) -> None:
    file = ConfigFile("json", ".x", ("x.jsonc", "x.json"), {})
    environ = {"HOME": str(tmp_path)}
    assert location(file, environ) == tmp_path / ".x" / "x.json"

    (tmp_path / ".x").mkdir()
    (tmp_path / ".x" / "x.jsonc").touch()

    assert location(file, environ) == tmp_path / ".x" / "x.jsonc"


def test_a_folder_that_cannot_be_looked_into_is_said(tmp_path: Path) -> None:
    file = ConfigFile("json", ".x", ("x.jsonc", "x.json"), {})

    with pytest.raises(CannotChange, match="name too long"):
        location(file, {"HOME": str(tmp_path / ("x" * 300))})


def test_the_home_directory_on_windows_is_the_profile(tmp_path: Path) -> None:
    file = ConfigFile("json", ".x", ("x.json",), {})
    environ = {"HOME": "/msys/home", "USERPROFILE": str(tmp_path)}

    assert location(file, environ, "nt") == tmp_path / ".x" / "x.json"
