"""Docker's config files, its environment, its helpers."""

from __future__ import annotations

import base64
import json
import os
import stat
import threading

import pytest

from pyengine.errors import InvalidRequest, RegistryError
from pyengine.images.credentials import ANYBODY, Credentials, CredentialStore
from pyengine.images.helpers import Helper

AUTH = base64.b64encode(b"ali:pass:word").decode()
ALI = Credentials("ali", "pass:word")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config.json"


def known(path, registry="a.test", **config):
    """What a file says."""
    path.write_text(json.dumps(config))
    return CredentialStore(path, environ={"PATH": str(path.parent)}).get(registry)


@pytest.mark.parametrize(
    "key", ["a.test", "https://a.test", "https://a.test/v1/", "http://a.test/v2/", "A.test"]
)
def test_a_host_is_known_under_every_key_that_programs_write(path, key):
    assert known(path, auths={key: {"auth": AUTH}}) == ALI


@pytest.mark.parametrize("key", ["a.test:5000", "b.a.test", "a.test.evil", "https://evil/a.test"])
def test_credentials_of_one_host_are_no_others(path, key):
    assert known(path, auths={key: {"auth": AUTH}}) == ANYBODY


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io"])
def test_docker_hub_has_a_key_of_its_own(path, key):
    assert known(path, "docker.io", auths={key: {"auth": AUTH}}) == ALI


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"username": "ali", "password": "pass:word"}, ALI),
        ({"auth": AUTH, "identitytoken": "t"}, Credentials("ali", "pass:word", "t")),
        ({"registrytoken": "r"}, Credentials(registry_token="r")),
        ({"auth": base64.b64encode(b"ali:pass:word\0\0").decode()}, ALI),
        ({}, ANYBODY),
        ({"auth": "%%%"}, ANYBODY),
        ({"auth": base64.b64encode(b"\xff\xfe").decode()}, ANYBODY),
        ({"auth": 5}, ANYBODY),
        ([], ANYBODY),
    ],
)
def test_an_entry_is_read_in_each_of_its_forms(path, entry, expected):
    assert known(path, auths={"a.test": entry}) == expected


@pytest.mark.parametrize("content", ["{", "[]", "5", '{"auths":', "[" * 50_000, "\0"])
def test_a_file_that_is_damaged_is_named_and_not_quoted(path, content):
    path.write_text(content + "secret" * ("{" in content))
    with pytest.raises(InvalidRequest, match=r"config\.json") as caught:
        CredentialStore(path, environ={}).get("a.test")
    assert "secret" not in str(caught.value)


def test_a_file_that_is_none_is_refused_and_not_waited_for(path):
    os.mkfifo(path)
    with pytest.raises(InvalidRequest, match="no regular file"):
        CredentialStore(path, environ={}).get("a.test")


def test_without_a_file_we_are_anybody(path):
    assert CredentialStore(path, environ={}).get("a.test") == ANYBODY


def test_the_environment_says_where_the_file_is(tmp_path):
    assert CredentialStore(environ={"DOCKER_CONFIG": "/x"}).path == "/x/config.json"
    assert CredentialStore(environ={"HOME": "/home/ali"}).path == "/home/ali/.docker/config.json"
    assert CredentialStore("/y", environ={"DOCKER_CONFIG": "/x"}).path == "/y"


def test_what_the_environment_holds_comes_first_and_is_not_all(path):
    path.write_text(json.dumps({"auths": {"b.test": {"auth": AUTH}}}))
    said = json.dumps({"auths": {"a.test": {"auth": AUTH}}})
    store = CredentialStore(path, environ={"DOCKER_AUTH_CONFIG": said})
    assert store.get("a.test") == store.get("b.test") == ALI
    with pytest.raises(InvalidRequest, match="DOCKER_AUTH_CONFIG"):
        CredentialStore(path, environ={"DOCKER_AUTH_CONFIG": "{secret"}).get("a.test")


# --- writing ---


def test_what_others_have_written_stays(path):
    foreign = {"auths": {"b.test": {"auth": AUTH}}, "HttpHeaders": {"X": "y"}, "psFormat": "é"}
    path.write_text(json.dumps(foreign))
    store = CredentialStore(path, environ={})
    store.store("a.test", ALI)
    written = json.loads(path.read_text())
    assert written.pop("auths") == {"b.test": {"auth": AUTH}, "a.test": {"auth": AUTH}}
    assert written == {"HttpHeaders": {"X": "y"}, "psFormat": "é"}
    assert store.erase("a.test")
    assert json.loads(path.read_text()) == foreign


def test_a_file_with_secrets_is_its_users_alone(path):
    CredentialStore(path, environ={}).store("a.test", ALI)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["config.json"]


def test_an_old_key_of_the_same_host_is_replaced(path):
    path.write_text(json.dumps({"auths": {"https://a.test/v1/": {"auth": "old"}}}))
    CredentialStore(path, environ={}).store("a.test", ALI)
    assert json.loads(path.read_text())["auths"] == {"a.test": {"auth": AUTH}}


def test_a_link_to_the_file_stays_a_link(path):
    real = path.parent / "dotfiles.json"
    real.write_text("{}")
    path.symlink_to(real)
    CredentialStore(path, environ={}).store("a.test", ALI)
    assert path.is_symlink()
    assert "a.test" in real.read_text()


def test_who_write_at_the_same_time_lose_nothing(path):
    names = [f"{number}.test" for number in range(12)]
    threads = [
        threading.Thread(target=CredentialStore(path, environ={}).store, args=(name, ALI))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(json.loads(path.read_text())["auths"]) == set(names)


# --- helpers ---


def helper(directory, name, program):
    """A credential helper in *directory*."""
    path = directory / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{program}\n")
    path.chmod(0o755)
    return path


ANSWER = """read host
echo "{\\"ServerURL\\":\\"$host\\",\\"Username\\":\\"ali\\",\\"Secret\\":\\"of $host\\"}\""""


@pytest.mark.parametrize(
    "config",
    [
        {"credsStore": "mine"},
        {"credHelpers": {"a.test": "mine"}},
        {"credHelpers": {"a.test": "mine"}, "credsStore": "other"},
        {"credHelpers": {"a.test": "mine"}, "auths": {"a.test": {"auth": AUTH}}},
    ],
)
def test_a_helper_is_asked_for_the_host(path, config):
    helper(path.parent, "mine", ANSWER)
    assert known(path, **config) == Credentials("ali", "of a.test")


def test_a_helper_is_asked_for_docker_hub_by_its_old_name(path):
    helper(path.parent, "mine", ANSWER)
    found = known(path, "docker.io", credsStore="mine")
    assert found.password == "of https://index.docker.io/v1/"


def test_a_user_named_token_means_an_identity(path):
    helper(path.parent, "mine", 'echo \'{"Username":"<token>","Secret":"t"}\'')
    assert known(path, credsStore="mine") == Credentials(identity_token="t")


def test_a_helper_that_knows_nothing_makes_us_anybody(path):
    helper(path.parent, "mine", "echo credentials not found in native keychain; exit 1")
    assert known(path, credsStore="mine") == ANYBODY


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("echo secret; echo the keychain is locked >&2; exit 1", "the keychain is locked"),
        ("echo secret", "something else than credentials"),
        ("exit 3", "exit code 3"),
        ("kill -9 $$", "exit code -9"),
    ],
)
def test_a_helper_that_fails_is_named_and_its_output_is_not(path, program, why):
    helper(path.parent, "mine", program)
    with pytest.raises(RegistryError, match=f"docker-credential-mine.*{why}") as caught:
        known(path, credsStore="mine")
    assert "secret" not in str(caught.value)


def test_a_helper_that_is_not_there_is_named(path):
    with pytest.raises(RegistryError, match="docker-credential-none: not in PATH"):
        known(path, credsStore="none")


@pytest.mark.parametrize("name", ["../evil", "/bin/sh", "a b", "a;b", "-x", "$(x)", ""])
def test_a_helpers_name_is_no_path_and_no_shells_word(name):
    with pytest.raises(InvalidRequest):
        Helper(name, {})


def test_a_helper_that_does_not_answer_is_ended_with_all_it_started(tmp_path):
    os.mkfifo(tmp_path / "gone")
    helper(tmp_path, "slow", f"sleep 1000 >{tmp_path}/gone & exec sleep 1000")
    gone: list[bytes] = []
    reader = threading.Thread(target=lambda: gone.append((tmp_path / "gone").read_bytes()))
    reader.start()
    slow = Helper("slow", {"PATH": f"{tmp_path}:{os.environ['PATH']}"}, timeout=0.5)
    with pytest.raises(RegistryError, match="has not answered within"):
        slow.get("a.test")
    reader.join(20)  # the last who has the fifo open for writing has ended
    assert gone == [b""]


def test_a_helper_keeps_what_we_log_in_with(path):
    helper(path.parent, "mine", f"cat > {path.parent}/$1")
    path.write_text(json.dumps({"credsStore": "mine"}))
    environ = {"PATH": f"{path.parent}:{os.environ['PATH']}"}
    store = CredentialStore(path, environ=environ)
    store.store("a.test", ALI)
    kept = json.loads((path.parent / "store").read_text())
    assert kept == {"ServerURL": "a.test", "Username": "ali", "Secret": "pass:word"}
    assert "auth" not in json.loads(path.read_text())["auths"]["a.test"]
    assert store.erase("a.test")
    assert (path.parent / "erase").read_text() == "a.test"
