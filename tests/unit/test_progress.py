"""How far a pull is, shown: on a terminal, in a notebook, in lines, or not at all."""

from __future__ import annotations

import io
import sys
import threading
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model.progress import ProgressEvent
from pyengine.progress import MOST_ROWS, Bars, Board, Cell, Lines, Pace, bar, watching

EVIL = "\x1b[2J\x1b]0;owned\x07\u202e\r"


class Terminal(io.StringIO):
    """What thinks that somebody looks at it."""

    def isatty(self):
        return True


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture(autouse=True)
def _on_a_desk(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


def shown_by(progress, stream, *events, **options):
    with watching(progress, stream=stream, **options) as tell:
        if tell is not None:
            for event in events:
                tell(event)
    return stream.getvalue()


STORY = (
    ProgressEvent("resolving", reference="alpine:3", detail="3"),
    ProgressEvent("waiting", "c0ffee", 0, 10),
    ProgressEvent("downloading", "c0ffee", 5, 10),
    ProgressEvent("downloaded", "c0ffee", 10, 10),
    ProgressEvent("unpacking", "c0ffee", 5, 10),
    ProgressEvent("done", "c0ffee", 10, 10),
    ProgressEvent("done", reference="alpine:3", detail="sha256:abc"),
)


def test_plain_is_a_line_for_each_step_wherever_it_is():
    assert shown_by("plain", io.StringIO(), *STORY).split("\n") == [
        "3: Pulling from library/alpine",
        "c0ffee: Pulling fs layer",
        "c0ffee: Downloading 5B/10B",
        "c0ffee: Download complete",
        "c0ffee: Pull complete",
        "Digest: sha256:abc",
        "Status: Downloaded newer image for alpine:3",
        "",
    ]


def test_nothing_is_shown_where_nobody_watches():
    assert shown_by("auto", io.StringIO(), *STORY) == ""
    assert shown_by(None, Terminal(), *STORY) == ""
    assert shown_by("none", Terminal(), *STORY) == ""


def test_nothing_is_shown_in_ci_unless_it_is_asked_for(monkeypatch):
    monkeypatch.setenv("CI", "true")
    assert shown_by("auto", Terminal(), *STORY) == ""
    assert "Pull complete" in shown_by("plain", Terminal(), *STORY)


def test_a_terminal_that_cannot_move_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert shown_by("auto", Terminal(), *STORY) == shown_by("plain", io.StringIO(), *STORY)


def test_without_rich_a_terminal_gets_lines(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.live", None)
    assert shown_by("auto", Terminal(), *STORY) == shown_by("plain", io.StringIO(), *STORY)


def test_with_rich_a_terminal_is_drawn_anew():
    out = shown_by("auto", Terminal(), *STORY)
    assert "Pull complete" in out
    assert "Downloaded newer image" in out
    assert "\x1b[1A" in out or "\x1b[2K" in out  # up, and erase


def test_pushing_has_words_of_its_own():
    events = (
        ProgressEvent("resolving", reference="x.io/a:1"),
        ProgressEvent("exists", "c0ffee"),
        ProgressEvent("done", reference="x.io/a:1", detail="sha256:abc", total=7),
    )
    assert shown_by("plain", io.StringIO(), *events, pushing=True).split("\n") == [
        "The push refers to repository [x.io/a]",
        "c0ffee: Layer already exists",
        "1: digest: sha256:abc size: 7",
        "",
    ]


def test_a_function_is_called_with_every_event():
    heard = []
    shown_by(heard.append, io.StringIO(), *STORY)
    assert heard == list(STORY)


def test_a_function_is_called_by_one_thread_at_a_time():
    inside, most = [], []
    reached = threading.Event()

    def slow(event):
        inside.append(event)
        most.append(len(inside))
        reached.wait(0.001)
        inside.remove(event)

    with watching(slow) as tell:
        events = [ProgressEvent("downloading", str(number)) for number in range(8)]
        threads = [threading.Thread(target=tell, args=(event,)) for event in events]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == [1] * 8


@pytest.mark.parametrize("wrong", ["fancy", 1, True, ["plain"]])
def test_what_is_no_way_to_show_it_is_refused(wrong):
    with pytest.raises(InvalidRequest, match="progress"), watching(wrong):
        pass


def test_a_reader_who_has_gone_does_not_end_a_pull():
    class Gone(Terminal):
        def write(self, text):
            raise BrokenPipeError

    for progress in ("plain", "auto"):
        with watching(progress, stream=Gone()) as tell:
            for event in STORY:
                tell(event)
    closed = Terminal()
    closed.close()
    with watching("auto", stream=closed) as tell:
        assert tell is None


def test_an_error_of_the_pull_is_its_own():
    def pull():
        with watching("auto", stream=Terminal()) as tell:
            tell(STORY[0])
            raise KeyError

    with pytest.raises(KeyError):
        pull()


# --- how often ---


def test_lines_about_bytes_are_some_seconds_apart():
    clock, stream = Clock(), io.StringIO()
    lines = Lines(stream, pace=Pace(5.0, clock))
    for current in range(1000):
        lines.show(ProgressEvent("downloading", "c0ffee", current, 1000))
    clock.now += 5.0
    lines.show(ProgressEvent("unpacking", "c0ffee", 7, 1000))
    assert stream.getvalue() == "c0ffee: Downloading 0B/1kB\nc0ffee: Extracting 7B/1kB\n"


def test_bars_are_drawn_some_times_a_second_and_in_the_end():
    stream = Terminal()
    bars = Bars(stream, pace=Pace(1.0, Clock()))
    bars.show(ProgressEvent("downloading", "c0ffee", 0, 1000))
    before = len(stream.getvalue())
    for current in range(1000):
        bars.show(ProgressEvent("downloading", "c0ffee", current, 1000))
    assert len(stream.getvalue()) == before
    bars.show(ProgressEvent("done", "c0ffee"))
    bars.close()
    assert "Pull complete" in stream.getvalue()[before:]


def test_a_cell_is_replaced_some_times_a_second_and_in_the_end(notebook):
    cell = Cell(pace=Pace(1.0, Clock()))
    for current in range(1000):
        cell.show(ProgressEvent("downloading", "c0ffee", current, 1000))
    assert len(notebook) == 1
    cell.show(ProgressEvent("done", "c0ffee"))
    cell.close()
    assert [name for name, _ in notebook] == ["cell", "cell"]
    assert notebook[-1][1]["text/plain"] == "c0ffee: Pull complete"


# --- what names may do ---


def is_harmless(text):
    return text.replace("\n", "").isprintable()


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_no_name_moves_the_cursor(id, reference, detail):
    events = [
        ProgressEvent(action, one, 1, 2, reference, detail)
        for action in ("resolving", "retrying", "mounted", "downloading", "done")
        for one in (id, "")
    ]
    assert is_harmless(shown_by("plain", io.StringIO(), *events))
    board = Board()
    for event in events:
        board.take(event)
    assert is_harmless("".join(board.rows()))


def test_no_name_reaches_a_terminal_or_a_notebook_as_it_is(notebook):
    events = (
        ProgressEvent("resolving", reference=EVIL, detail=EVIL),
        ProgressEvent("retrying", "[red]x[/red]" + EVIL, detail=EVIL),
        ProgressEvent("retrying", "<script>"),
    )
    bars = Bars(stream := Terminal())
    cell = Cell()
    for event in events:
        bars.show(event)
        cell.show(event)
    bars.close()
    cell.close()
    out = stream.getvalue()
    assert "\x1b[2J" not in out
    assert "\x1b]" not in out
    assert "\x07" not in out
    assert "\u202e" not in out
    assert "[red]x[/red]" in out
    data = notebook[-1][1]
    assert is_harmless(data["text/plain"])
    assert "<script>" not in data["text/html"]


def test_a_thousand_layers_are_not_a_thousand_rows():
    board = Board()
    for number in range(1000):
        board.take(ProgressEvent("done" if number < 500 else "waiting", f"{number:012}"))
    rows = board.rows()
    assert len(rows) == MOST_ROWS + 1
    assert rows[0] == "000000000500: Pulling fs layer"
    assert rows[-1] == f"and {1000 - MOST_ROWS} more"


@given(st.none() | st.floats(0, 1), st.integers(1, 80))
def test_a_bar_is_as_wide_as_it_shall_be(fraction, width):
    assert len(bar(fraction, width)) == width + 2
    assert bar(0, 4) == "[    ]"
    assert bar(1, 4) == "[====]"


# --- notebooks ---


@pytest.fixture
def notebook(monkeypatch):
    """What a notebook shows, as (display id, data)."""
    told = []

    class Handle:
        def update(self, data, *, raw):
            assert raw
            told.append(("cell", data))

    def display(data, *, raw, display_id):
        assert raw
        assert display_id is True
        told.append(("cell", data))
        return Handle()

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    of_display = types.ModuleType("IPython.display")
    of_display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", of_display)
    return told


def test_in_a_notebook_there_is_one_cell(notebook):
    assert shown_by("auto", io.StringIO(), *STORY) == ""
    assert notebook[-1][1]["text/plain"].split("\n") == [
        "3: Pulling from library/alpine",
        "Digest: sha256:abc",
        "Status: Downloaded newer image for alpine:3",
        "c0ffee: Pull complete",
    ]


def test_ipython_on_a_terminal_is_no_notebook(notebook):
    sys.modules["IPython"].get_ipython = lambda: types.SimpleNamespace(kernel=None)
    assert "Pull complete" in shown_by("auto", Terminal(), *STORY)
    assert notebook == []
