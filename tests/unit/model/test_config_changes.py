"""Changes to a config: Dockerfile's instructions, as far as they say something of an image."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model.config import ImageConfig
from pyengine.model.config_changes import apply_changes
from pyengine.model.dockerfile_words import expand, split_words
from pyengine.model.spec import HealthCheck

BASE = ImageConfig(command=("old",), env=("A=1", "B=2"), workdir="/srv", labels=(("l", "x"),))
NAMES = "CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ('CMD ["sh", "-c", "x"]', {"command": ("sh", "-c", "x")}),
        ("cmd echo  hi $A", {"command": ("/bin/sh", "-c", "echo  hi $A")}),
        ("CMD ['x']", {"command": ("/bin/sh", "-c", "['x']")}),
        ("CMD []", {"command": ()}),
        ('ENTRYPOINT ["/x"]', {"entrypoint": ("/x",), "command": ()}),
        ("ENTRYPOINT x", {"entrypoint": ("/bin/sh", "-c", "x"), "command": ()}),
        ("ENV C=3", {"env": ("A=1", "B=2", "C=3")}),
        ("ENV A=9 C='3 4' D=\\ x", {"env": ("A=9", "B=2", "C=3 4", "D= x")}),
        ("ENV C  a  b ", {"env": ("A=1", "B=2", "C=a  b")}),
        ("ENV C=\"$A${B}\" D='$A' E=\\$A", {"env": ("A=1", "B=2", "C=12", "D=$A", "E=$A")}),
        ("ENV C=${X:-no} D=${A:+yes}", {"env": ("A=1", "B=2", "C=no", "D=yes")}),
        ("ENV A=1 \\\n  C=3", {"env": ("A=1", "B=2", "C=3")}),
        ("# nothing\n\nENV C=3\nUSER x", {"env": ("A=1", "B=2", "C=3"), "user": "x"}),
        ("EXPOSE 80 53/UDP 8000-8001", {"exposed": ("80/tcp", "53/udp", "8000/tcp", "8001/tcp")}),
        ("EXPOSE $B", {"exposed": ("2/tcp",)}),
        ("LABEL m=y l='z z'", {"labels": (("l", "z z"), ("m", "y"))}),
        ("ONBUILD RUN $A", {"onbuild": ("RUN $A",)}),
        ("STOPSIGNAL SIGINT", {"stop_signal": "SIGINT"}),
        ("USER 1000:1000", {"user": "1000:1000"}),
        ("VOLUME /a /b", {"volumes": ("/a", "/b")}),
        ('VOLUME ["/a b", "/c"]', {"volumes": ("/a b", "/c")}),
        ("WORKDIR app/x", {"workdir": "/srv/app/x"}),
        ("WORKDIR /x/../$B", {"workdir": "/2"}),
        ("HEALTHCHECK NONE", {"health": HealthCheck(("NONE",))}),
        ("HEALTHCHECK CMD x y", {"health": HealthCheck(("CMD-SHELL", "x y"))}),
        (
            'HEALTHCHECK --interval=1m --retries=5 --timeout=0s CMD ["x"]',
            {"health": HealthCheck(("CMD", "x"), interval=60.0, retries=5)},
        ),
    ],
)
def test_a_change_changes_what_it_names_and_nothing_else(change, expected):
    assert apply_changes(BASE, [change]) == evolve(BASE, **expected)


def test_an_entrypoint_takes_away_only_a_command_it_was_not_given_with():
    assert apply_changes(BASE, ["CMD x", "ENTRYPOINT y"]).command == ("/bin/sh", "-c", "x")
    assert apply_changes(BASE, ["ENTRYPOINT y", "CMD x"]).command == ("/bin/sh", "-c", "x")


def test_a_shell_of_the_image_runs_what_is_no_list():
    config = evolve(BASE, shell=("/bin/bash", "-lc"))
    assert apply_changes(config, ["CMD x"]).command == ("/bin/bash", "-lc", "x")


def test_no_change_changes_nothing():
    assert apply_changes(BASE, []) == BASE


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("", None),
        ("RUN x", "'RUN' is not a valid change command"),
        ("FROM scratch", "'FROM' is not a valid change command"),
        ("COPY a b", "not a valid change command"),
        ("SHELL ['x']", "not a valid change command"),
        ("=", "not a valid change command"),
        *((name, "at least one argument") for name in NAMES.split()),
        (b"CMD x", "expected an instruction"),
        ("CMD x\0", "expected an instruction"),
        ('CMD ["x\\u0000"]', "NUL"),
        ("ENV A", "two arguments"),
        ("ENV A=1 B", "'B' has no '='"),
        ("ENV =1", "can not be blank"),
        ("ENV A='x", "quote ' is not closed"),
        ('ENV A="x', 'quote " is not closed'),
        ("ENV A=${B", "'}' is missing|not supported"),
        ("ENV A=${B?x}", "not supported"),
        ("ENV A=${}", "not followed by a name"),
        ("LABEL =x", "can not be blank"),
        ("EXPOSE http", "expose"),
        ("EXPOSE 1-70000", "expose"),
        ("STOPSIGNAL SIGWRONG", "stop signal"),
        ("STOPSIGNAL 9 9", "exactly one argument"),
        ("USER a b", "exactly one argument"),
        ("USER -1", "user"),
        ("VOLUME []", "can not be empty"),
        ('VOLUME ["", "/a"]', "can not be empty"),
        ("ONBUILD ONBUILD RUN x", "isn't allowed as an ONBUILD trigger"),
        ("ONBUILD FROM x", "isn't allowed as an ONBUILD trigger"),
        ("HEALTHCHECK x", "expected"),
        ("HEALTHCHECK CMD", "expected"),
        ("HEALTHCHECK NONE x", "expected"),
        ("HEALTHCHECK --often=1s CMD x", "no flag of it"),
        ("HEALTHCHECK --interval CMD x", "no flag of it"),
        ("HEALTHCHECK --interval=x CMD x", "health interval"),
        ("HEALTHCHECK --retries=x CMD x", "health retries"),
        ("HEALTHCHECK --interval=1us CMD x", "health interval"),
    ],
)
def test_what_is_no_change_is_refused_with_its_reason(change, why):
    if why is None:
        assert apply_changes(BASE, [change]) == BASE
        return
    with pytest.raises(InvalidRequest, match=why):
        apply_changes(BASE, [change])


signs = st.text("ab $\\'\"{}:-+=", max_size=12)


@settings(max_examples=200, deadline=None)
@given(signs, st.dictionaries(st.sampled_from("ab"), signs))
def test_any_word_is_expanded_or_refused(word, variables):
    try:
        text = expand(word, variables)
    except InvalidRequest as error:
        if not error.why:
            raise
        return
    assert isinstance(text, str)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)))
def test_quoted_words_come_back_as_they_were(words):
    quoted = [
        f'"{"".join(one if one not in chr(34) + "$" + chr(92) else chr(92) + one for one in word)}"'
        for word in words
    ]
    found = split_words(" ".join(quoted))
    assert [expand(word, {}) for word in found] == words


def test_a_backslash_in_single_quotes_is_a_backslash():
    assert split_words("A='a\\' B=2") == ["A='a\\'", "B=2"]
    assert expand("'a\\'", {}) == "a\\"


def test_nested_variables_do_not_grow_without_end():
    word = "$a" * 1000
    with pytest.raises(InvalidRequest, match="too long"):
        expand(word, {"a": "x" * 10_000})
