import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyengine.cli.flags import Flag, parse
from pyengine.cli.usage import UsageError

modest = settings(max_examples=150, deadline=None)

TABLE = (
    Flag("tty", "bool", "", "t"),
    Flag("interactive", "bool", "", "i"),
    Flag("env", "list", "", "e"),
    Flag("name", "string", ""),
    Flag("last", "int", "", "n"),
    Flag("weight", "uint16", ""),
)
values = st.text(st.characters(exclude_characters="\0"), max_size=12)


def read(*words, interspersed=False):
    return parse(words, TABLE, command="x", interspersed=interspersed)


def refusal(*words):
    with pytest.raises(UsageError) as caught:
        read(*words)
    return caught.value.why


@modest
@given(values, st.sampled_from(["--env={}", "--env {}", "-e{}", "-e={}", "-e {}", "-te{}"]))
def test_every_way_to_write_a_value_says_the_same(value, form):
    if form[-2:] == "{}" and form[0:2] in ("-e", "-t") and " " not in form:
        # nothing there: the next word is taken; an equals sign is not part of the value
        assume(value and (form == "-e={}" or value == "=" or value[0] != "="))
    words = form.split(" ")
    assert read(*[word.replace("{}", value) for word in words]).several("env") == (value,)


@modest
@given(st.lists(values, max_size=5))
def test_a_repeatable_flag_keeps_everything_in_order(given_values):
    words = [word for value in given_values for word in ("-e", value)]
    assert read(*words).several("env") == tuple(given_values)


@modest
@given(st.lists(values, max_size=6))
def test_what_follows_the_first_argument_is_never_a_flag(rest):
    given_words = read("-t", "host:", *rest)
    assert given_words.arguments == ("host:", *rest)
    assert given_words.values == {"tty": True}


@modest
@given(st.lists(values, max_size=6))
def test_what_follows_two_dashes_is_never_a_flag(rest):
    assert read("--", *rest, interspersed=True).arguments == tuple(rest)


@modest
@given(st.lists(st.one_of(values, st.sampled_from(["-t", "--env", "--", "-", "-n3", "--name=a"]))))
def test_any_words_are_read_or_refused_in_a_sentence(words):
    try:
        read(*words, interspersed=True)
        return
    except UsageError as error:
        caught = error
    assert caught.why
    assert "See 'x --help'." in str(caught)


@modest
@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_a_number_reads_back_in_every_base(number):
    sign = "-" if number < 0 else ""
    for text in (
        f"{number}",
        f"{sign}0x{abs(number):x}",
        f"{sign}0b{abs(number):b}",
        f"{sign}0o{abs(number):o}",
        f"{sign}0{abs(number):o}",
    ):
        assert read("--last", text).number("last") == number


def test_flags_between_arguments_count_where_they_may_stand_there():
    given_words = read("a", "-t", "b", interspersed=True)
    assert given_words.arguments == ("a", "b")
    assert given_words.is_set("tty")


def test_a_bool_takes_a_value_only_with_an_equals_sign():
    assert read("-t=false").values == {"tty": False}
    assert read("--tty=0").values == {"tty": False}
    assert read("-it=false").values == {"interactive": True, "tty": False}
    assert read("--tty", "false").arguments == ("false",)
    for word in ("1", "t", "T", "TRUE", "true", "True"):
        assert read(f"--tty={word}").is_set("tty")


def test_the_last_of_several_values_counts():
    assert read("--name", "a", "--name=b").text("name") == "b"
    assert not read("-t", "-t=false").is_set("tty")


def test_a_dash_alone_is_an_argument():
    assert read("-", "x").arguments == ("-", "x")


def test_a_negative_number_is_a_value_like_any_other():
    assert read("-n", "-1").number("last") == -1
    assert read("-n-1").number("last") == -1


def test_a_flag_that_is_not_there_has_its_default():
    nothing = read()
    assert not nothing.is_set("tty")
    assert nothing.is_set("sig-proxy", default=True)
    assert nothing.text("name", "x") == "x"
    assert nothing.number("last") is None
    assert nothing.several("env") == ()


def test_help_is_a_flag_everywhere_and_h_where_nothing_else_is():
    assert read("--help").is_set("help")
    assert read("-h").is_set("help")
    table = (Flag("hostname", "string", "", "h"),)
    assert parse(["-h", "web"], table, command="x").text("hostname") == "web"


# what docker 20.10 says to the same words
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--foo",), "unknown flag: --foo"),
        (("-x",), "unknown shorthand flag: 'x' in -x"),
        (("-tx",), "unknown shorthand flag: 'x' in -x"),
        (("-t=",), "unknown shorthand flag: '=' in -="),
        (("-e",), "flag needs an argument: 'e' in -e"),
        (("-te",), "flag needs an argument: 'e' in -e"),
        (("--env",), "flag needs an argument: --env"),
        (("--=x",), "bad flag syntax: --=x"),
        (("---x",), "bad flag syntax: ---x"),
    ],
)
def test_what_is_no_flag_is_refused_in_dockers_words(words, why):
    assert refusal(*words) == why


@pytest.mark.parametrize("text", ["", "x", "0x", "1.5", "1e3", "--1", "9" * 19, "08", "٣", " 1"])
def test_what_is_no_number_is_refused(text):
    assert refusal("--last", text).startswith(f'invalid argument "{text}" for "-n, --last" flag: ')


@pytest.mark.parametrize("text", ["-1", "65536"])
def test_a_number_out_of_its_range_is_refused(text):
    assert "it is not from 0 to 65535" in refusal("--weight", text)


@pytest.mark.parametrize("text", ["", "x", "yes", "2"])
def test_what_is_neither_true_nor_false_is_refused(text):
    assert refusal(f"--tty={text}").startswith(f'invalid argument "{text}" for "-t, --tty" flag: ')


def test_a_prefix_of_a_name_is_not_the_name():
    assert refusal("--inter") == "unknown flag: --inter"
