"""What the command says of a pull: docker's words, on a terminal and elsewhere."""

import os
import pty
import re
import threading

import pytest

from pyengine.cli.pulling import Teller, run_teller
from pyengine.cli.say import STDERR, STDOUT
from pyengine.model.progress import ProgressEvent

PULL = (
    ProgressEvent("resolving", reference="alpine:3", detail="3"),
    ProgressEvent("waiting", "aaa"),
    ProgressEvent("waiting", "bbb"),
    ProgressEvent("downloading", "aaa", 500_000, 1_000_000),
    ProgressEvent("exists", "bbb"),
    ProgressEvent("downloaded", "aaa"),
    ProgressEvent("done", "aaa"),
    ProgressEvent("done", reference="alpine:3", detail="sha256:abc"),
)


class Screen:
    """What stands on a terminal of some rows, as far as this command moves on it."""

    def __init__(self, text):
        self.rows, self.at = [""], 0
        for part in re.split(r"(\x1b\[\d*[ABK]|\r|\n)", text):
            self._take(part)

    def _take(self, part):
        if match := re.fullmatch(r"\x1b\[(\d*)([ABK])", part):
            count, kind = int(match[1] or 0), match[2]
            if kind == "K":
                self.rows[self.at] = ""
            else:
                self.at += count * (1 if kind == "B" else -1)
        elif part == "\n":
            self.at += 1
            if self.at == len(self.rows):
                self.rows.append("")
        elif part not in ("", "\r"):
            assert part.isprintable()
            self.rows[self.at] = part


@pytest.fixture
def terminal(monkeypatch):
    """A terminal to write to, and what was written to it."""
    monkeypatch.setenv("TERM", "xterm")
    leader, follower = pty.openpty()
    written, eof = [], b"\x04\x04"

    def read():
        while not (data := os.read(leader, 65536)).endswith(eof):
            written.append(data)
        written.append(data.removesuffix(eof))

    reader = threading.Thread(target=read)
    reader.start()

    def text():
        os.write(follower, eof)
        reader.join()
        return b"".join(written).decode().replace("\r\n", "\n")

    yield follower, text
    if reader.is_alive():
        os.write(follower, eof)
        reader.join()
    os.close(leader)
    os.close(follower)


def test_without_a_terminal_there_is_a_line_for_each_step(capfd):
    teller = Teller(STDOUT)
    for event in PULL:
        teller(event)
    assert capfd.readouterr().out.split("\n") == [
        "3: Pulling from library/alpine",
        "aaa: Pulling fs layer",
        "bbb: Pulling fs layer",
        "bbb: Already exists",
        "aaa: Download complete",
        "aaa: Pull complete",
        "Digest: sha256:abc",
        "Status: Downloaded newer image for alpine:3",
        "",
    ]


def test_on_a_terminal_each_layer_has_one_line(terminal):
    follower, text = terminal
    teller = Teller(follower)
    for event in PULL[:4]:
        teller(event)
    for event in PULL[4:]:
        teller(event)
    written = text()
    assert Screen(written).rows == [
        "3: Pulling from library/alpine",
        "aaa: Pull complete",
        "bbb: Already exists",
        "Digest: sha256:abc",
        "Status: Downloaded newer image for alpine:3",
        "",
    ]
    assert re.search(r"aaa: Downloading \[=+> +\]  500kB/1MB", written)


def test_more_layers_than_rows_do_not_draw_over_each_other(terminal):
    follower, text = terminal
    teller = Teller(follower)
    for number in range(100):
        teller(ProgressEvent("waiting", f"{number:03}"))
    for number in range(100):
        teller(ProgressEvent("done", f"{number:03}"))
    rows = Screen(text()).rows
    assert rows[:-1] == [f"{number:03}: Pull complete" for number in range(len(rows) - 1)]
    assert len(rows) < 30


def test_what_has_scrolled_away_is_not_drawn_anew(terminal):
    follower, text = terminal
    teller = Teller(follower)
    teller(ProgressEvent("waiting", "aaa"))
    for _ in range(40):
        teller(ProgressEvent("retrying", detail="busy"))
    teller(ProgressEvent("done", "aaa"))
    assert Screen(text()).rows == ["aaa: Pulling fs layer", *["Retrying: busy"] * 40, ""]


def test_bytes_are_told_some_times_a_second(terminal):
    follower, text = terminal
    teller = Teller(follower)
    for current in range(2000):
        teller(ProgressEvent("downloading", "aaa", current, 2000))
    assert text().count("aaa:") < 200


def test_run_says_that_it_has_to_pull_beside_the_program_s_output(capfd):
    teller = run_teller("alpine", "missing")
    teller(PULL[0])
    teller(PULL[1])
    out, err = capfd.readouterr()
    assert out == ""
    assert err.split("\n")[:2] == [
        "Unable to find image 'alpine:latest' locally",
        "3: Pulling from library/alpine",
    ]
    run_teller("alpine", "always")(PULL[0])
    assert capfd.readouterr().err == "3: Pulling from library/alpine\n"
    run_teller("oci:/x y", "")(PULL[1])
    assert capfd.readouterr().err == "aaa: Pulling fs layer\n"


def test_a_load_tells_of_no_steps_where_nobody_watches(capfd):
    teller = Teller(STDERR, steps=False)
    teller(ProgressEvent("verifying", "aaa"))
    assert capfd.readouterr().err == ""
