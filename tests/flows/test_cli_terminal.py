"""``-it`` in a real terminal: keys, sizes, and the terminal as it was before."""

import signal
import subprocess
import termios

import pytest

pytestmark = pytest.mark.kernel
pytest_plugins = ("command_line", "terminals")

NOTE = "still attached\r\n"
TRAPS_INT = "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 9 & wait; done"


def shell(script, *flags):
    return ("run", "--rm", "-it", *flags, "host:", "sh", "-c", script)


def test_the_program_has_a_terminal_of_the_users_size(terminal):
    one = terminal(*shell("tty; stty size; echo $TERM"), rows=31, columns=101)
    one.expect(r"/dev/pts/\d+\r\n31 101\r\nxterm\r\n")
    assert one.end() == 0


def test_a_new_size_reaches_the_program(terminal):
    one = terminal(
        *shell("trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 9 & wait; done")
    )
    one.expect("ready\r\n")
    one.resize(44, 77)
    one.expect("44 77\r\n")
    assert one.end() == 0


def test_control_c_is_a_key_for_the_program(terminal):
    one = terminal(*shell(TRAPS_INT))
    one.expect("ready\r\n")
    one.type(b"\x03")
    one.expect("caught\r\n")
    assert one.end() == 7


def test_every_key_goes_to_the_program_as_it_is(terminal):
    one = terminal(*shell("stty raw -echo; echo ready; head -c 7 | od -An -tx1"))
    one.expect("ready")
    one.type(b"\x00\x1a\x1c\x11\x13\xff\r")
    one.expect("00 1a 1c 11 13 ff 0d")
    assert one.end() == 0


def test_a_shell_may_be_used_as_one(terminal):
    one = terminal("run", "--rm", "-it", "host:", "sh")
    one.expect("# ")
    one.type(b"echo $((6 * 7))\r")
    one.expect("\r\n42\r\n")
    one.type(b"exit 3\r")
    assert one.end() == 3


def test_the_terminal_is_raw_meanwhile_and_as_it_was_afterwards(terminal):
    one = terminal(*shell("echo ready; read x; echo $x"))
    one.expect("ready")
    assert one.settings()[3] & (termios.ICANON | termios.ECHO | termios.ISIG) == 0
    one.type(b"bye\r")
    assert one.end() == 0
    assert one.settings() == one.before


def test_the_terminal_is_as_it_was_when_nothing_could_start(terminal):
    one = terminal("run", "--rm", "-it", "host:", "no-such-program")
    assert one.end() == 127
    one.expect("executable file not found")
    assert one.settings() == one.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
def test_the_terminal_is_as_it_was_when_the_command_is_ended(terminal, cli, number):
    one = terminal(*shell("trap '' TERM HUP QUIT INT; echo ready; sleep 60", "--sig-proxy=false"))
    one.expect("ready")
    one.process.send_signal(number)
    assert one.end() == -number
    assert one.settings() == one.before
    assert cli.names() == []


def test_a_terminal_that_is_closed_ends_command_and_program(terminal, cli):
    one = terminal("run", "--name", "job", "-it", "host:", "sh")
    one.expect("# ")
    one.hang_up()
    assert one.end() == -signal.SIGHUP
    assert cli("ps", "-a", "--format", "{{.State}}") == "exited\n"


def test_signals_to_the_command_are_the_programs_here_too(terminal):
    one = terminal(
        *shell("trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 9 & wait; done")
    )
    one.expect("ready")
    one.process.send_signal(signal.SIGTERM)
    one.expect("term")
    assert one.end() == 9
    assert one.settings() == one.before


@pytest.mark.parametrize(
    ("flags", "keys"), [((), b"\x10\x11"), (("--detach-keys=ctrl-x,z",), b"\x18z")]
)
def test_the_detach_keys_are_answered_and_the_program_goes_on(terminal, flags, keys):
    one = terminal(*shell("echo ready; read x; echo got:$x", *flags))
    one.expect("ready")
    one.type(b"a" + keys + b"b")
    one.expect(NOTE)
    one.type(b"c\r")
    one.expect("got:abc\r\n")
    assert one.end() == 0


def test_half_of_the_detach_keys_are_keys_like_others(terminal):
    one = terminal(*shell("stty raw -echo; echo ready; head -c 3 | od -An -tx1"))
    one.expect("ready")
    one.type(b"\x10")
    one.type(b"a\x11")
    one.expect("10 61 11")
    assert one.end() == 0


def test_exec_has_the_terminal_too(terminal, cli, web):
    one = terminal("exec", "-it", "web", "sh", rows=21, columns=81)
    one.expect("# ")
    one.type(b"stty size\r")
    one.expect("\r\n21 81\r\n")
    one.resize(22, 82)
    one.type(b"\x10\x11")
    one.expect(NOTE)
    one.type(b"sh -c 'echo begun; exec sleep 60'\r")
    one.expect("begun\r\n")
    one.type(b"\x03")
    one.expect("# ")
    one.type(b"stty size; exit 6\r")
    one.expect("22 82\r\n")
    assert one.end() == 6
    assert one.settings() == one.before
    assert cli("inspect", "-f", "{{.State.Running}}", "web") == "true\n"
    assert web.poll() is None


def test_a_created_container_is_used_in_the_terminal(terminal, cli):
    cli("create", "-it", "--name", "job", "host:", "sh", "-c", "stty size; read x; exit $x")
    one = terminal("start", "-ai", "job", rows=20, columns=70)
    one.type(b"5\r")
    assert one.end() == 5
    assert one.settings() == one.before


def test_without_interactive_the_terminal_stays_as_it_is(terminal):
    one = terminal("run", "--rm", "-t", "host:", "sh", "-c", f"tty; {TRAPS_INT}")
    one.expect("ready")
    assert one.settings() == one.before
    one.type(b"\x03")  # here it is a signal to the command, which passes it on
    one.expect("caught")
    assert one.end() == 7


def test_a_terminal_is_asked_for_where_there_is_none(cli):
    process = cli.popen("run", "--rm", "-it", "host:", "true", stdin=subprocess.PIPE)
    assert process.communicate(b"") == (b"", b"pyengine: the input device is not a TTY\n")
    assert process.returncode == 1


def test_a_terminal_without_input_needs_none(cli):
    process = cli.popen("run", "--rm", "-t", "host:", "sh", "-c", "tty; echo err >&2")
    out, err = process.communicate()
    assert (out, err) == (b"/dev/pts/0\r\nerr\r\n", b"")


def test_the_live_screen_of_stats_is_drawn_again_and_again(terminal, web):
    one = terminal("stats", "web")
    for _ in range(2):
        one.expect(r"\x1b\[H\x1b\[JCONTAINER ID .*\r\n.* web ")
    one.type(b"\x03")
    assert one.end() == -signal.SIGINT
    assert web.poll() is None
