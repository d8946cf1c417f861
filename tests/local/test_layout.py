"""The folder of an embedded AWS: ours only, whole or marked as not."""

from __future__ import annotations

import pytest

from tradelake.errors import ConfigError
from tradelake.local.layout import Layout


def test_prepare_makes_an_empty_folder_that_is_cut_off_while_no_run_holds_it(tmp_path):
    layout = Layout(tmp_path / "a")
    layout.prepare()
    assert layout.marked() == "cut off"
    assert layout.logs.is_dir()


def test_prepare_replaces_an_earlier_run(tmp_path):
    layout = Layout(tmp_path / "a")
    layout.prepare()
    (layout.root / "old").write_text("x")
    layout.mark("complete")
    layout.prepare()
    assert not (layout.root / "old").exists()
    assert layout.marked() == "cut off"


def test_prepare_refuses_a_folder_with_files_that_are_not_ours(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(ConfigError, match="not tradelake's"):
        Layout(tmp_path).prepare()
    assert (tmp_path / "thesis.txt").read_text() == "x"


def test_prepare_refuses_a_place_where_no_folder_can_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot write"):
        Layout(tmp_path / "file" / "below").prepare()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_marked_is_none_when_the_marker_is_damaged(tmp_path, text):
    (tmp_path / "tradelake.json").write_text(text)
    assert Layout(tmp_path).marked() is None


def test_held_marks_the_folder_complete_and_keeps_others_out_meanwhile(tmp_path):
    layout = Layout(tmp_path / "a")
    with layout.held():
        assert layout.marked() == "running"
        with pytest.raises(ConfigError, match="in use"), Layout(tmp_path / "a").held():
            raise AssertionError("two runs in one folder")
    assert layout.marked() == "complete"
    with layout.held():
        pass


def test_held_marks_the_folder_failed_when_the_work_was_interrupted(tmp_path):
    layout = Layout(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt), layout.held():
        raise KeyboardInterrupt
    assert layout.marked() == "failed"
