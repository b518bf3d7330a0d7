"""``--restart`` and ``--health-*``: what a container does by itself, asked for and shown."""

import pytest

pytestmark = pytest.mark.kernel
pytest_plugins = ("command_line",)


def test_what_shall_start_again_does_so_when_its_command_has_ended(cli):
    # C80
    shell = "host:", "sh", "-c", "echo ran; exit 3"
    assert cli("run", "--name", "again", "--restart", "on-failure:2", *shell, code=3) == "ran\n"
    assert cli("wait", "again") == "3\n"
    assert cli("logs", "again") == "ran\n" * 3
    told = cli("inspect", "-f", "{{.RestartCount}} {{.HostConfig.RestartPolicy.Name}}", "again")
    assert told == "2 on-failure\n"


def test_a_policy_is_changed_by_update(cli):
    # O32
    cli("run", "-d", "--name", "web", "--restart", "always", "host:", "sleep", "600")
    cli("update", "--restart", "no", "web")
    told = cli("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", "web")
    assert told == "no\n"
    cli("run", "--rm", "--restart", "always", "host:", "true", code=125)


def test_health_is_asked_for_and_shown(cli):
    # C82 to C84, O21
    check = "--health-cmd", "test -e /well", "--health-interval", "50ms", "--health-retries", "1"
    cli("run", "-d", "--name", "web", *check, "host:", "sleep", "600")
    cli("exec", "web", "touch", "/well")
    while "(healthy)" not in (shown := cli("ps", "--format", "{{.Status}} {{.HealthStatus}}")):
        pass
    assert shown.endswith("(healthy) healthy\n")
    assert cli("ps", "-q", "--filter", "health=unhealthy") == ""
    assert cli("inspect", "-f", "{{.State.Health.Status}}", "web") == "healthy\n"
    cli("run", "-d", "--name", "plain", "--no-healthcheck", "host:", "sleep", "600")
    assert cli("ps", "--filter", "health=none", "--format", "{{.Names}}") == "plain\n"
