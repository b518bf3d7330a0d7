"""``-d``: containers that outlive their command, and the commands that come back to them."""

import pytest

pytestmark = pytest.mark.kernel
pytest_plugins = ("command_line", "terminals")

ECHOES = "while read x; do echo got:$x; [ $x = end ] && exit 4; done"


def test_what_was_detached_is_there_for_every_command(cli):
    made = cli("run", "-d", "--name", "web", "host:", "sh", "-c", "echo up; exec sleep 600").strip()
    assert len(made) == 64
    assert cli("ps", "--format", "{{.Names}} {{.State}}") == "web running\n"
    assert cli("exec", "web", "echo", "inside") == "inside\n"
    assert cli("exec", "-d", "web", "sleep", "500") == ""
    assert cli("top", "web", "-o", "args").count("sleep") == 2
    assert cli("restart", "-t", "0", "web") == "web\n"
    assert cli("start", "web") == "web\n"  # it runs already: that is what was asked for
    assert cli("stop", "-t", "0", "web") == "web\n"
    assert cli("wait", "web") == "137\n"
    assert cli("start", "web") == "web\n"
    assert cli("kill", "web") == "web\n"
    assert cli("logs", "web") == "up\n" * 3


def test_one_that_removes_itself_is_gone_when_it_has_ended(cli):
    cli("run", "-d", "--rm", "--name", "job", "host:", "sh", "-c", "read x < /dev/zero | true")
    cli("run", "-d", "-i", "--rm", "--name", "waits", "host:", "cat")
    cli("kill", "waits")
    assert "waits" not in cli.names()


def test_what_cannot_be_detached_says_dockers_code(cli):
    cli("run", "-d", "--rm", "--name", "gone", "host:", "no-such-program", code=127)
    assert cli.names() == []


def test_a_user_lets_go_of_a_container_and_comes_back(cli, terminal):
    cli("run", "-dit", "--name", "sh", "host:", "sh", "-c", ECHOES)
    first = terminal("attach", "sh")
    first.type(b"a\r")
    first.expect("got:a\r\n")
    first.type(b"\x10\x11")
    first.expect("read escape sequence")
    assert first.end() == 0
    assert first.settings() == first.before
    second = terminal("attach", "sh")
    second.type(b"end\r")
    second.expect("got:end\r\n")
    assert second.end() == 4
