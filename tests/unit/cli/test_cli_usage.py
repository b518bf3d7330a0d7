import pytest

from pyengine.cli import catalog
from pyengine.cli.help import verb_help
from pyengine.cli.later import MISSING
from pyengine.cli.main import main
from pyengine.cli.usage import UsageError

VERBS = sorted(catalog.VERBS)


@pytest.fixture(autouse=True)
def _keeps_signals(monkeypatch):
    monkeypatch.setattr("pyengine.cli.main.listen", lambda: None)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("form", [("{}", "--help"), ("help", "{}"), ("--help", "{}"), ("{}", "-h")])
def test_every_verb_tells_how_it_is_used(verb, form, capfd):
    if form[1] == "-h" and verb in ("run", "create"):
        return  # there it is the host's name
    assert main([word.format(verb) for word in form]) == 0
    out = capfd.readouterr().out
    assert out.startswith(f"\nUsage:  pyengine {verb}")
    ways = catalog.aliases(verb)
    alone = ("doctor", "inspect", "login", "logout", "search", "version")
    assert f"\nAliases:\n  {', '.join(ways)}\n" in out if ways else verb in alone


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_names_the_flag_it_does_not_have(verb, capfd):
    assert main([verb, "--no-such-flag"]) == 125
    assert capfd.readouterr().err == (
        f"pyengine: unknown flag: --no-such-flag\nSee 'pyengine {verb} --help'.\n"
    )


@pytest.mark.parametrize("words", [(), ("--help",), ("help",), ("-h",)])
def test_without_a_verb_there_is_an_overview(words, capfd):
    assert main(words) == 0
    out = capfd.readouterr().out
    assert all(f"\n  {verb} " in out for verb in VERBS)


def test_a_verb_that_is_none_is_told_so(capfd):
    assert main(["frobnicate"]) == 1
    assert "'frobnicate' is not a pyengine command" in capfd.readouterr().err
    assert main(["container", "frobnicate"]) == 1
    assert "'frobnicate' is not a command of 'pyengine container'" in capfd.readouterr().err


@pytest.mark.parametrize("verb", sorted(MISSING))
def test_a_verb_that_comes_later_says_what_is_missing(verb, capfd):
    assert main([*verb.split(" "), "--whatever", "x"]) == 1
    missing, remedy = MISSING[verb]
    assert capfd.readouterr().err == f"pyengine: '{verb}' is not supported: {missing}; {remedy}\n"


def test_groups_list_their_verbs(capfd):
    assert main(["container"]) == 0
    assert "\n  prune " in capfd.readouterr().out
    assert main(["system", "--help"]) == 0
    assert "\n  info " in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("run",), '"pyengine run" requires at least 1 argument.'),
        (("exec", "a"), '"pyengine exec" requires at least 2 arguments.'),
        (("logs",), '"pyengine logs" requires exactly 1 argument.'),
        (("container", "logs", "a", "b"), '"pyengine container logs" requires exactly 1 argument.'),
        (("rename", "a"), '"pyengine rename" requires exactly 2 arguments.'),
        (("ps", "extra"), '"pyengine ps" accepts no arguments.'),
        (("image", "rm"), '"pyengine image rm" requires at least 1 argument.'),
        (("tag", "x"), '"pyengine tag" requires exactly 2 arguments.'),
        (("images", "a", "b"), '"pyengine images" requires at most 1 argument.'),
        (("update", "x"), "you must provide one or more flags when using this command"),
    ],
)
def test_too_few_and_too_many_arguments_are_counted(words, why, capfd):
    assert main(words) == 1
    assert capfd.readouterr().err.startswith(f"pyengine: {why}\nSee 'pyengine ")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-H", "tcp://1.2.3.4", "ps"), 1),
        (("--config", "/x", "ps"), 1),
        (("--tls", "ps"), 1),
        (("-c", "other", "ps"), 1),
        (("--nope", "ps"), 125),
        (("ps", "--format", "{{.Foo"), 64),
        (("inspect", "-f", "{{end}}", "x"), 64),
        (("ps", "-f", "name"), 125),
        (("run", "-d", "-a", "stdout", "host:", "true"), 125),
        (("start", "-a", "--checkpoint", "y", "x"), 125),
        (("rm", "-l", "x"), 1),
        (("inspect", "--type", "volume", "x"), 1),
        (("inspect", "--type", "image", "-s", "x"), 1),
        (("image", "inspect", "--platform", "linux/arm64", "x"), 1),
        (("images", "--tree", "-q"), 1),
        (("images", "--format", "{{.Foo"), 64),
        (("images", "-f", "name"), 125),
        (("history", "--platform", "linux/arm64", "x"), 1),
        (("pull", "-a", "x:1"), 1),
        (("pull", "X"), 1),
        (("push", "--platform", "linux/arm64", "x"), 1),
        (("rmi", "--no-prune", "x"), 1),
        (("rmi", "--platform", "linux/arm64", "x"), 1),
        (("save", "--platform", "a,b", "x"), 1),
        (("load", "--platform", "a,b"), 1),
        (("import", "https://example.com/x.tar"), 1),
        (("login", "--password-stdin"), 1),
        (("login", "-p", "x", "--password-stdin"), 1),
        (("system", "prune", "--volumes"), 1),
        (("system", "df", "-v", "--format", "json"), 1),
        (("system", "check", "--format", "table"), 125),
        (("inspect", "--type", "nonsense", "x"), 1),
        (("run", "-a", "stdfoo", "host:"), 125),
        (("run", "--detach-keys", "nonsense", "host:"), 125),
    ],
)
def test_what_cannot_be_done_ends_with_dockers_code(words, code, capfd):
    assert main(words) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("pyengine: ")


def test_the_version_is_the_packages(capfd):
    from pyengine import __version__

    assert main(["--version"]) == 0
    assert capfd.readouterr().out == f"pyengine version {__version__}\n"


def test_help_fits_into_its_lines():
    for name in VERBS:
        verb, _, _ = catalog.find((name,))
        assert max(map(len, verb_help(f"pyengine {name}", verb).split("\n"))) <= 100


def test_a_fault_names_the_help_that_explains():
    assert str(UsageError("why", "pyengine x")) == "why\nSee 'pyengine x --help'."


def test_every_way_to_call_a_verb_is_told():
    assert catalog.aliases("container ls") == [
        "pyengine container ls",
        "pyengine container list",
        "pyengine container ps",
        "pyengine ps",
    ]
    assert catalog.aliases("ps") == catalog.aliases("container list")
    assert catalog.aliases("rm") == [
        "pyengine container rm",
        "pyengine container remove",
        "pyengine rm",
    ]
    assert catalog.aliases("images") == [
        "pyengine image ls",
        "pyengine image list",
        "pyengine images",
    ]
    assert catalog.aliases("rmi") == catalog.aliases("image rm")
    assert catalog.aliases("inspect") == []
    assert catalog.aliases("version") == []
