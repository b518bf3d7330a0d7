"""The command line about a container that runs, watched by a command in another process."""

import json
import os
import select
import signal
import subprocess

import pytest

pytestmark = pytest.mark.kernel
pytest_plugins = ("command_line",)


def test_a_signal_to_the_command_is_the_programs(web):
    web.send_signal(signal.SIGUSR1)
    assert web.stdout.readline() == b"usr\n"
    web.send_signal(signal.SIGTERM)
    assert web.wait(30) == 5
    assert web.stdout.read() == b"bye\n"


def test_a_killed_command_takes_its_program_along(cli, web):
    pid = int(cli("inspect", "-f", "{{.State.Pid}}", "web"))
    pidfd = os.pidfd_open(pid)
    web.kill()
    web.wait()
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)
    assert cli("ps", "-a", "--format", "{{.State}}") == "exited\n"


@pytest.mark.usefixtures("web")
def test_a_running_container_is_listed_and_looked_at(cli):
    header, row = cli("ps").splitlines()
    assert header.split() == [
        "CONTAINER",
        "ID",
        "IMAGE",
        "COMMAND",
        "CREATED",
        "STATUS",
        "PORTS",
        "NAMES",
    ]
    assert "host:" in row
    assert row.endswith("web")
    assert cli("ps", "-f", "label=tier=db", "-f", "name=we", "--format", "{{.Names}}") == "web\n"
    assert cli("ps", "-f", "label=tier=web", "-q") == ""
    assert json.loads(cli("ps", "--format", "json"))["State"] == "running"
    (told,) = json.loads(cli("inspect", "web"))
    assert told["State"]["Running"] is True
    assert told["Config"]["Labels"] == {"tier": "db"}
    assert cli("inspect", "-f", '{{.Name}} {{index .Config.Labels "tier"}}', "web") == "/web db\n"
    assert cli("container", "inspect", "-f", "{{.Config.Labels.nope}}", "web") == "<no value>\n"


@pytest.mark.usefixtures("web")
def test_an_unknown_thing_is_told_after_those_that_are_known(cli):
    out = cli("inspect", "-f", "{{.Name}}", "nobody", "web", code=1)
    assert (out, cli.err) == ("/web\n", "pyengine: No such object: nobody\n")


@pytest.mark.usefixtures("web")
def test_exec_runs_another_program_inside(cli):
    assert cli("exec", "web", "sh", "-c", "echo $A; exit 6", code=6) == "1\n"
    words = ("exec", "-e", "B=2", "-w", "/usr", "-u", "7", "web", "sh", "-c", "echo $B $PWD; id -u")
    assert cli(*words) == "2 /usr\n7\n"
    cli("exec", "web", "no-such-program", code=127)
    assert "executable file not found" in cli.err
    cli("exec", "web", "/etc/passwd", code=126)
    cli("exec", "nobody", "true", code=1)


@pytest.mark.usefixtures("web")
def test_exec_reads_what_is_given_to_it(cli, tmp_path):
    variables = tmp_path / "variables"
    variables.write_text("C=3\n")
    process = cli.popen(
        *("exec", "-i", "--env-file", str(variables), "web", "sh", "-c", "cat; echo $C >&2"),
        stdin=subprocess.PIPE,
    )
    data = bytes(range(256)) * 1000
    assert process.communicate(data, timeout=60) == (data, b"3\n")


@pytest.mark.usefixtures("web")
def test_its_processes_are_listed(cli):
    header, first, *_ = cli("top", "web").splitlines()
    assert header.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert first.startswith("root ")
    assert "sh -c" in first


@pytest.mark.usefixtures("web")
def test_its_use_is_sampled_once(cli):
    header, row = cli("stats", "--no-stream", "web").splitlines()
    assert header.startswith("CONTAINER ID   NAME      CPU %")
    assert row.split()[1] == "web"
    assert cli("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}") == "web 2\n"
    cli("stats", "--no-stream", "nobody", code=1)


@pytest.mark.usefixtures("web")
def test_it_is_frozen_and_goes_on(cli):
    assert cli("pause", "web") == "web\n"
    assert "(Paused)" in cli("ps", "--format", "{{.Status}}")
    cli("pause", "web", code=1)
    assert cli("unpause", "web") == "web\n"
    assert cli("ps", "--format", "{{.State}}") == "running\n"


def test_it_is_killed_with_a_signal_of_choice(cli, web):
    assert cli("kill", "-s", "USR1", "web") == "web\n"
    assert web.stdout.readline() == b"usr\n"
    cli("kill", "-s", "NONSENSE", "web", code=1)
    assert cli("kill", "web") == "web\n"
    assert web.wait(30) == 137
    cli("kill", "web", code=1)
    assert "is not running" in cli.err


def test_it_is_asked_to_stop_and_its_command_ends_with_it(cli, web):
    waiting = cli.popen("wait", "web")
    assert cli("stop", "-t", "20", "web", "web") == "web\nweb\n"
    assert web.wait(30) == 5
    assert waiting.communicate(timeout=30) == (b"5\n", b"")


def test_it_is_not_removed_while_it_runs_unless_by_force(cli, web):
    cli("rm", "web", "nobody", code=1)
    assert cli.err.count("\n") == 2
    assert cli("rm", "-f", "web", "nobody") == "web\n"
    assert cli.names() == []
    assert web.wait(30) == 137


@pytest.mark.usefixtures("web")
def test_its_name_and_limits_are_changed(cli):
    cli("rename", "web", "db")
    assert cli.names() == ["db"]
    assert cli("update", "-m", "64m", "--pids-limit", "50", "db") == "db\n"
    assert cli("inspect", "-f", "{{.HostConfig.Memory}}", "db") == f"{64 << 20}\n"
    cli("update", "-m", "1k", "db", code=1)


@pytest.mark.usefixtures("web")
def test_what_it_says_is_followed_to_its_end(cli):
    process = cli.popen("logs", "-f", "-t", "web")
    assert process.stdout.readline().endswith(b"Z ready\n")
    cli("kill", "-s", "USR1", "web")
    assert process.stdout.readline().endswith(b"Z usr\n")
    cli("stop", "web")
    out, err = process.communicate(timeout=30)
    assert out.endswith(b"Z bye\n")
    assert err.endswith(b"Z oops\n")


def test_what_it_has_changed_is_listed(cli):
    cli("run", "--name", "job", "host:", "sh", "-c", "echo x > /usr/new; rm /usr/bin/yes")
    changed = ["A /usr/new", "C /usr", "C /usr/bin", "D /usr/bin/yes"]
    assert sorted(cli("diff", "job").splitlines()) == changed


@pytest.mark.usefixtures("web")
def test_another_process_joins_its_streams_and_learns_how_it_ended(cli):
    process = cli.popen("attach", "web")
    while not select.select([process.stdout], [], [], 0.1)[0]:  # until it is there to hear
        cli("kill", "-s", "USR1", "web")
    assert process.stdout.readline() == b"usr\n"
    cli("stop", "web")
    out, _ = process.communicate(timeout=30)
    assert out.endswith(b"bye\n")
    assert process.returncode == 5


@pytest.mark.usefixtures("web")
def test_what_does_not_run_is_pruned(cli):
    cli("create", "--name", "old", "host:", "true")
    out = cli("container", "prune", "-f")
    assert out.startswith("Deleted Containers:\n")
    assert out.endswith("\n\nTotal reclaimed space: 0B\n")
    assert cli.names() == ["web"]


# --- the engine ---


def test_the_engine_tells_of_itself(cli):
    assert cli("version", "-f", "{{.Server.Version}}") == cli(
        "version", "-f", "{{.Client.Version}}"
    )
    assert "API version:" in cli("version")
    assert json.loads(cli("info", "-f", "json"))["DockerRootDir"] == cli.root
    assert "Kernel Version:" in cli("info")


def test_events_of_a_moment_that_has_passed_end_at_once(cli):
    assert cli("events", "--since", "1h", "--until", "0s") == ""
    cli("events", "-f", "nonsense=1", code=1)
