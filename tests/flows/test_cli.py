"""The command line, in this process or in one of its own, over real containers."""

import hashlib
import io
import random
import signal
import subprocess

import pytest

pytestmark = pytest.mark.kernel
pytest_plugins = ("command_line",)


# --- run ---


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -9 $$"), 137),
        (("sh", "-c", "kill -TERM $$"), 0),  # process 1 has no default for a signal of its own
        (("no-such-program",), 127),
        (("/no/such/program",), 127),
        (("/etc/passwd",), 126),
        (("/etc",), 126),
    ],
)
@pytest.mark.parametrize("rm", [("--rm",), ()])
def test_run_ends_as_its_program_does(cli, words, code, rm):
    if words[-1].startswith("kill"):
        words = (*words[:-1], f"sh -c '{words[-1]}'; exit $?") if code else words
    cli("run", *rm, "host:", *words, code=code)
    assert (cli.names() == []) == bool(rm)


def test_errors_say_what_clients_look_for(cli):
    cli("run", "--rm", "host:", "no-such-program", code=127)
    assert "executable file not found in $PATH" in cli.err
    cli("run", "--rm", "host:", "/no/such", code=127)
    assert "no such file or directory" in cli.err
    cli("run", "--rm", "host:", "/etc/passwd", code=126)
    assert "permission denied" in cli.err
    cli("run", "rootfs:/no/such", "true", code=125)
    assert cli.err.startswith("pyengine: No such image: ")
    cli("logs", "nobody", code=1)
    assert cli.err == "pyengine: No such container: nobody\n"


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "1k"),
        ("--cap-add", "NONSENSE"),
        ("--name", "/"),
        ("--restart", "often"),
        ("-p", "80"),
    ],
)
def test_a_wrong_option_leaves_nothing(cli, words):
    cli("run", *words, "host:", "true", code=125)
    assert cli.err.startswith("pyengine: ")
    assert cli.names() == []


def test_output_goes_where_the_program_sent_it(cli):
    assert cli("run", "--rm", "host:", "--", "sh", "-c", "echo out; echo err >&2") == "out\n"
    assert cli.err == "err\n"


def test_only_what_is_attached_to_is_heard(cli):
    assert cli("run", "--rm", "-a", "stderr", "host:", "sh", "-c", "echo out; echo err >&2") == ""
    assert cli.err == "err\n"


def test_the_container_is_one(cli):
    out = cli("run", "--rm", "-h", "box", "host:", "sh", "-c", "hostname; echo $$; ls /proc/1/fd")
    assert out.split()[:2] == ["box", "1"]


def test_every_byte_goes_in_and_comes_out_as_it_was(cli):
    data = random.Random(1).randbytes(3 << 20)
    process = cli.popen("run", "--rm", "-i", "host:", "cat", stdin=subprocess.PIPE)
    out, err = process.communicate(data)
    assert (process.returncode, err) == (0, b"")
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()


def test_without_interactive_the_program_reads_nothing(cli):
    process = cli.popen("run", "--rm", "host:", "cat", stdin=subprocess.PIPE)
    out, err = process.communicate(b"secret")
    assert (process.returncode, out, err) == (0, b"", b"")


def test_a_program_that_reads_little_does_not_hold_its_command(cli):
    process = cli.popen("run", "--rm", "-i", "host:", "head", "-c1", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"abc")
    process.stdin.flush()  # and is never closed
    assert process.wait(30) == 0
    assert process.stdout.read() == b"a"
    process.stdin.close()
    process.stderr.close()
    process.stdout.close()


def test_options_reach_the_container(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("FROM_HERE", "yes")
    variables = tmp_path / "variables"
    variables.write_text("# a comment\nIN_FILE=1\n")
    script = (
        'echo "$A $FROM_HERE $IN_FILE $(id -u):$(id -g) $PWD"; cat /data/x; test -w / || echo ro'
    )
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / "x").write_text("content\n")
    out = cli(
        *("run", "--rm", "-e", "A=b c", "-e", "FROM_HERE", "--env-file", str(variables)),
        *("-u", "12:34", "-w", "/usr", "-v", f"{data}:/data:ro", "--read-only"),
        *("host:", "sh", "-c", script),
    )
    assert out == "b c yes 1 12:34 /usr\ncontent\nro\n"


def test_the_id_is_written_to_a_new_file(cli, tmp_path):
    path = tmp_path / "id"
    cli("run", "--name", "one", "--cidfile", str(path), "host:", "true")
    assert path.read_text() == cli("ps", "-aq", "--no-trunc").strip()
    cli("run", "--cidfile", str(path), "host:", "true", code=125)
    assert "container ID file found" in cli.err
    assert cli.names() == ["one"]


def test_a_name_is_given_once(cli):
    cli("create", "--name", "one", "host:", "true")
    cli("run", "--name", "one", "host:", "true", code=125)
    assert "Conflict. The container name" in cli.err


def test_what_ran_is_there_until_it_is_removed(cli):
    cli("run", "--name", "job", "host:", "sh", "-c", "echo one; echo two >&2; exit 3", code=3)
    row = cli("ps", "-a", "--format", "{{.Names}} {{.State}} {{.Status}}")
    assert row.startswith("job exited Exited (3) ")
    assert cli("logs", "job") == "one\n"
    assert cli.err == "two\n"
    assert cli("logs", "-n", "0", "job") == ""
    assert cli("wait", "job") == "3\n"
    assert cli("ps", "-q") == ""
    assert cli("rm", "job") == "job\n"
    assert cli.names() == []


def test_a_created_container_is_started_again_and_again(cli):
    made = cli("create", "--name", "job", "host:", "sh", "-c", "echo hi; exit 4").strip()
    assert len(made) == 64
    for _ in range(2):
        assert cli("start", "-a", "job", code=4) == "hi\n"
    assert cli("logs", "job") == "hi\nhi\n"


def test_start_hands_on_what_it_reads(cli):
    cli("create", "-i", "--name", "job", "host:", "cat")
    process = cli.popen("start", "-ai", "job", stdin=subprocess.PIPE)
    assert process.communicate(b"a\0b\xff")[0] == b"a\0b\xff"
    assert process.returncode == 0


# --- signals and ends ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_is_not_passed_on_ends_command_and_program(cli, number):
    script = "trap '' INT TERM HUP; echo ready; sleep 60"
    process = cli.popen("run", "--name", "job", "--sig-proxy=false", "host:", "sh", "-c", script)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (-number, b"", b"")
    assert cli("ps", "-a", "--format", "{{.State}}") == "exited\n"


def test_a_reader_that_leaves_ends_command_and_program(cli):
    process = cli.popen("run", "--name", "job", "host:", "yes")
    process.stdout.read(1000)
    process.stdout.close()
    assert process.wait(30) == -signal.SIGPIPE
    assert process.stderr.read() == b""
    process.stderr.close()
    assert cli("ps", "-a", "--format", "{{.State}}") == "exited\n"


def test_output_that_cannot_be_written_is_an_error(cli):
    with open("/dev/full", "wb") as full:
        process = cli.popen("run", "--rm", "host:", "echo", "hi", stdout=full)
        assert (
            process.communicate(timeout=30)[1]
            == b"pyengine: cannot write: No space left on device\n"
        )
    assert process.returncode == 1


def test_the_names_of_several_are_told_with_their_errors(cli):
    cli("create", "--name", "one", "host:", "true")
    cli("create", "--name", "two", "host:", "true")
    out = cli("rm", "one", "nobody", "two", code=1)
    assert (out, cli.err) == ("one\ntwo\n", "pyengine: No such container: nobody\n")


def test_only_one_container_is_attached_to(cli):
    cli("start", "-a", "one", "two", code=1)
    assert "only one" in cli.err


def test_what_does_not_run_is_not_attached_to(cli):
    cli("create", "--name", "one", "host:", "true")
    cli("attach", "one", code=1)
    assert "start it first" in cli.err


def test_a_place_where_no_id_can_be_written_leaves_no_container(cli):
    cli("run", "--cidfile", "/no/such/directory/id", "host:", "true", code=125)
    assert "No such file or directory" in cli.err
    assert cli.names() == []


def test_prune_does_what_it_is_told(cli, monkeypatch):
    cli("create", "--name", "old", "host:", "true")
    for answer, left in (("n\n", ["old"]), ("", ["old"]), ("Y\n", [])):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        cli("container", "prune")
        assert "Are you sure" in cli.err
        assert cli.names() == left


def test_a_container_is_sampled_though_it_does_not_run(cli):
    cli("create", "--name", "old", "host:", "true")
    row = cli("stats", "--no-stream", "-a", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}}")
    assert row == "old 0.00% 0B / 0B\n"
    assert cli("stats", "old").count("CONTAINER ID") == 1  # nothing more will come
    cli("stats", "nobody", "--no-stream", code=1)


def test_every_kind_of_thing_that_there_is_not_yet_is_refused(cli):
    for kind in ("network", "volume", "service"):
        cli("inspect", "--type", kind, "x", code=1)
        assert "is not supported" in cli.err
    cli("inspect", "--type", "nonsense", "x", code=1)
    assert cli("inspect", "--type", "container", "x", code=1) == "[]\n"
    assert cli.err == "pyengine: No such container: x\n"


def test_a_name_for_two_is_refused(cli):
    ids = [cli("create", "host:", "true").strip() for _ in range(17)]
    first = next(a for a in ids for b in ids if a != b and a[0] == b[0])
    cli("inspect", first[0], code=1)
    assert first[0] in cli.err


def test_sizes_are_counted_when_they_are_asked_for(cli):
    cli("run", "--name", "job", "host:", "sh", "-c", "head -c 12345 /dev/zero > /usr/zeros")
    assert cli("ps", "-a", "--format", "{{.Size}}") == "12.3kB\n"
    assert cli("ps", "-as").splitlines()[1].endswith("12.3kB")
    assert cli("inspect", "-s", "-f", "{{.SizeRw}}", "job") == "12345\n"


def test_details_of_a_log_stand_before_its_lines(cli):
    words = ("--log-opt", "labels=tier", "-l", "tier=d b", "--name", "job")
    cli("run", *words, "host:", "echo", "hi")
    assert cli("logs", "--details", "job") == "tier=d+b hi\n"


def test_a_long_line_has_one_stamp(cli):
    cli(
        "run",
        "--name",
        "job",
        "host:",
        "sh",
        "-c",
        "head -c 40000 /dev/zero | tr '\\0' x; echo; echo y",
    )
    first, second = cli("logs", "-t", "job").splitlines()
    assert first.endswith("Z " + "x" * 40_000)
    assert second.endswith("Z y")
