import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.cli.template import Template
from pyengine.cli.template_functions import FUNCTIONS
from pyengine.cli.template_values import FreeMap, Record
from pyengine.cli.usage import TemplateError

modest = settings(max_examples=200, deadline=None)

DATA = {
    "Id": "a" * 64,
    "Name": "/web",
    "Zz": 1,
    "Null": None,
    "Args": ["60", "a b"],
    "State": {"Status": "running", "Running": True, "Pid": 42},
    "Config": {"Labels": FreeMap({"a": "b", "x.y": "z"}), "Env": ["A=1", "B=2"]},
    "Mounts": [
        {"Source": "/s", "Destination": "/d"},
        {"Source": "/s2", "Destination": "/d2"},
    ],
    "Empty": [],
    "Mixed": [1, "a", None, True, {"k": [1]}],
    "Text": 'héllo <&>\n\t"q"',
}


def fill(template, data=DATA):
    return Template.parse(template).render(data)


# what docker 20.10 (Go 1.19) prints for the same data
@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.Name}}", "/web"),
        ("{{.Null}}", "<no value>"),
        ("{{.Mixed}}", "[1 a <nil> true map[k:[1]]]"),
        ("{{.State}}", "map[Pid:42 Running:true Status:running]"),
        ("{{.State.Running | not}}", "false"),
        ("{{.Config.Labels.nope}}", "<no value>"),
        ('{{index .Config.Labels "nope"}}|', "|"),
        ('{{index .Config.Labels "x.y"}}', "z"),
        ('{{index .Mixed 4 "k" 0}}', "1"),
        ("{{(index .Mounts 0).Source}}", "/s"),
        ("{{json .Text}}", '"héllo <&>\\n\\t\\"q\\""'),
        ("{{json .Mixed}}", '[1,"a",null,true,{"k":[1]}]'),
        ("{{json .Null}}", "null"),
        ('{{json "<é\\u2028>"}}', '"<é\\u2028>"'),
        ('{{println .Args "x"}}', "[60 a b] x\n"),
        ('{{print 1 2 "a" "b" 3}}', "1 2ab3"),
        ('{{print .Args 1 "a" .State}}', "[60 a b] 1amap[Pid:42 Running:true Status:running]"),
        ("{{print nil}}", "<nil>"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range .Null}}x{{else}}none{{end}}", "none"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}},{{end}}", "a=b,x.y=z,"),
        ("{{range $i, $e := .Args}}{{$i}}{{$e}};{{end}}", "060;1a b;"),
        ("{{range $e := .Args}}{{$e}};{{end}}", "60;a b;"),
        ("{{range .Mounts}}{{.Source}}:{{.Destination}} {{end}}", "/s:/d /s2:/d2 "),
        ("{{range .Args}}{{break}}{{end}}", ""),
        ("{{range .Args}}{{.}}{{continue}}x{{end}}", "60a b"),
        ("{{with .State}}{{.Status}} {{$.Name}}{{end}}", "running /web"),
        ("{{with .Null}}x{{else}}nothing{{end}}", "nothing"),
        ("{{with $y := 5}}{{$y}}{{.}}{{end}}", "55"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{$x := 1}}{{if true}}{{$x := 2}}{{end}}{{$x}}", "1"),
        ("{{if false}}a{{else if true}}b{{else}}c{{end}}", "b"),
        ("{{if false}}a{{else if false}}b{{else}}c{{end}}", "c"),
        ("{{if $x := .Zz}}{{$x}}{{end}}", "1"),
        ("{{len .Text}} {{len .Args}} {{len .State}}", "15 2 3"),
        ('{{title "foo bar"}} {{pad "x" 2 3}}|', "Foo Bar   x   |"),
        ('{{title "ab-cd ef_g it\'s"}}', "Ab-Cd Ef_g It'S"),
        ('{{pad "" 1 1}}|', "|"),
        ('{{truncate "hello" 2}} {{truncate "h" 5}}', "he h"),
        ('{{upper "a" | lower}} {{upper "b"}}', "a B"),
        ('{{join (split "a,b" ",") "-"}}', "a-b"),
        ('{{split "abc" ""}}', "[a b c]"),
        ("{{1.0}} {{1e6}} {{0x10}} {{010}} {{'a'}} {{-3}} {{+5}}", "1 1e+06 16 8 97 -3 5"),
        ("{{1.5e3}} {{123456.0}} {{1234567.0}} {{0.0001}}", "1500 123456 1.234567e+06 0.0001"),
        ("{{0.00001234}}", "1.234e-05"),
        ('{{and 1 0}} {{or 0 "" "x"}} {{and 1 2}}', "0 x 2"),
        ("{{if and .Null .Null.X}}y{{else}}n{{end}}", "n"),
        ("{{or 1 .Nope}}", "1"),
        ('{{"x" | and 1}} {{"x" | and 0}}', "x 0"),
        ("{{eq 1 2 1}} {{ne 1 2}} {{le 1 1}} {{ge 2 1}} {{gt 1 2}}", "true true true true false"),
        ('{{lt "a" "b"}} {{eq nil nil}} {{eq "a" nil}}', "true true false"),
        ('{{eq .Config.Labels.nope "x"}}', "false"),
        ('{{slice .Args 1}} {{slice "hello" 1 3}}', "[a b] el"),
        ('{{index .Args 0 | printf "%s-%s" "p"}}', "p-60"),
        ("{{(.Args)}} {{print (print 1) (print 2)}}", "[60 a b] 12"),
        ('{{"\\x41\\u00e9\\101"}}', "AéA"),
        ("{{`raw\\n`}}", "raw\\n"),
        ("{{/* c */}}x", "x"),
        ("{{- /* c */ -}} x", "x"),
        ("{{/*x*/ -}} y", "y"),
        ('{{ "x" -}}  y', "xy"),
        ('a  {{- " b" -}} c', "a bc"),
        ('{{"a"}}}}', "a}}"),
        ("{{ $x := 1 | print }}{{$x}}", "1"),
        ("{{false}}{{true}}", "falsetrue"),
        ("no action", "no action"),
        ("", ""),
    ],
)
def test_a_template_says_what_docker_says(template, expected):
    assert fill(template) == expected


# the same, for printf
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('"%-5s|%5s|%05d|%x|%X|%t" "a" "b" 42 255 255 true', "a    |    b|00042|ff|FF|true"),
        (
            '"%c|%U|%o|%b|%e|%g|%%|%3d|%+d|%q" 65 65 8 5 1.5 1.5 7 7 65',
            "A|U+0041|10|101|1.500000e+00|1.5|%|  7|+7|'A'",
        ),
        ('"%d"', "%!d(MISSING)"),
        ('"%d" 1 2', "1%!(EXTRA int=2)"),
        ('"%z" 1', "%!z(int=1)"),
        ('"%s" 1', "%!s(int=1)"),
        ('"%d" "a"', "%!d(string=a)"),
        ('"%v %v" .Args true', "[60 a b] true"),
        ('"%q" .Args', '["60" "a b"]'),
        ('"%x" "hi"', "6869"),
        ('"%.2s" "héllo"', "hé"),
        ('"%s" nil', "%!s(<nil>)"),
        ('"%6.2f|%-8.3f|" 3.14159 2.0', "  3.14|2.000   |"),
        ('"%d%%" 5', "5%"),
        ('"%"', "%!(NOVERB)"),
        ('"%5v|%-5v|%05v" 1 2 3', "    1|2    |00003"),
        (
            '"%05s|%-05d|%+.2e|% d|%#x|%#o" "a" 5 12345.678 5 255 8',
            "0000a|5    |+1.23e+04| 5|0xff|010",
        ),
        ('"%6.3d|%+05d|%x" 5 5 -255', "   005|+0005|-ff"),
        ('"%T %T %T %T" 1 "a" true 1.5', "int string bool float64"),
        ('"%g %G %.3g %e" 1e-7 1e20 123.456 0.0', "1e-07 1E+20 123 0.000000e+00"),
    ],
)
def test_printf_prints_as_go_does(arguments, expected):
    assert fill(f"{{{{printf {arguments}}}}}") == expected


MALFORMED = (
    *("{{", "{{.Id", "{{.Id}", "{{.Id}}}{{", "{{}}", "{{ }}", "{{|}}", "{{.Id |}}", "{{3 | 4}}"),
    *("{{if}}", "{{end}}", "{{else}}", "{{else if}}", "{{if .Zz}}x", "{{range .Args}}"),
    *("{{if .Zz}}x{{else}}y{{else}}z{{end}}", "{{break}}", "{{if 1}}{{continue}}{{end}}"),
    *("{{.A..B}}", "{{..}}", "{{.A.}}", "{{(.Id}}", "{{.Id)}}", "{{print(1)}}", '{{print "a""b"}}'),
    *('{{"a}}', "{{'ab'}}", "{{`a}}", '{{"\\q"}}', '{{"\\ud800"}}', "{{3-}}", "{{1x}}", "{{08}}"),
    *("{{99999999999999999999}}", "{{1e400}}", "{{foo}}", "{{.Id foo}}", "{{$x}}", "{{$x = 1}}"),
    *("{{if $x := .Zz}}{{end}}{{$x}}", "{{$a, $b := .Args}}", "{{nil}}", "{{nil | print}}"),
    *("{{/* c", "{{/* c */ x}}", "{{template `x`}}", "{{define `x`}}{{end}}", "{{.Id end}}"),
    *("{{range .Args}}{{break 1}}{{end}}", "{{if 1}}{{else range .Args}}{{end}}", "{{#}}"),
)


@pytest.mark.parametrize("template", MALFORMED)
def test_a_malformed_template_is_refused_before_anything_is_printed(template):
    with pytest.raises(TemplateError) as caught:
        Template.parse(template)
    assert caught.value.status == 64
    assert str(caught.value).startswith("template parsing error: ")


UNFIT = (
    *("{{.Nope}}", "{{.State.Nope}}", "{{.Id.X}}", "{{.Args.X}}", "{{.Null.X}}", "{{.Id .Id}}"),
    *('{{.Id "x"}}', '{{"a" "b"}}', "{{true false}}", "{{.Id | .Id}}", "{{len 3}}", "{{len nil}}"),
    *('{{index .Args "a"}}', "{{index .Args -1}}", "{{index .Args 2}}", "{{index .Null 0}}"),
    *("{{index .State 1}}", "{{.Args | index 0}}", "{{slice .Args 0 5}}", "{{slice .Args 1 0}}"),
    *("{{slice .State}}", '{{slice "abc" 0 1 2}}', "{{join .Args}}", "{{join .Mixed `,`}}"),
    *("{{join 1 `,`}}", "{{upper 1}}", "{{truncate `a` `b`}}", "{{range 3}}{{end}}"),
    *("{{range .Id}}{{end}}", "{{and}}", "{{not}}", "{{not 1 2}}", "{{eq}}", "{{eq 1}}"),
    *('{{eq 1 "a"}}', "{{eq true 1}}", "{{lt true false}}", "{{lt 1 `a`}}", "{{eq .Args .Args}}"),
    *("{{printf}}", "{{printf 1}}", '{{printf "%*d" 1 2}}', '{{printf "%99999d" 1}}'),
    *("{{or 0 .Nope}}", "{{pad `x` 99999999 0}}", "{{len .Zz}}"),
)


@pytest.mark.parametrize("template", UNFIT)
def test_what_the_data_does_not_have_is_an_error_of_its_own(template):
    with pytest.raises(TemplateError) as caught:
        fill(template)
    assert caught.value.status == 1


def test_a_method_takes_arguments():
    row = Record({"ID": "1"}, Label=lambda name: name.upper())
    assert fill('{{.ID}} {{.Label "x"}} {{"y" | .Label}}', row) == "1 X Y"
    assert json.loads(fill("{{json .}}", row)) == {"ID": "1"}


plain_data = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(string.ascii_letters, min_size=1, max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@modest
@given(plain_data)
def test_json_reads_back_what_it_was_given(data):
    assert json.loads(fill("{{json .}}", data)) == data


@modest
@given(st.text(max_size=30) | st.text("a\x1b\x7f\x9b\u2028\u202e\u2066", max_size=8))
def test_no_control_of_a_terminal_is_left_in_json(text):
    told = fill("{{json .}}", text)
    assert json.loads(told) == text
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in told)
    assert "\u202e" not in told


@modest
@given(st.text(max_size=40).filter(lambda text: "{{" not in text))
def test_a_text_without_actions_is_itself(text):
    assert fill(text) == text


@modest
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=20))
def test_a_quoted_string_stands_for_itself(text):
    quoted = json.dumps(text, ensure_ascii=False)
    assert fill(f"{{{{{quoted}}}}}") == text


@modest
@given(st.lists(st.text(string.ascii_letters, max_size=5), max_size=6))
def test_range_goes_through_everything_in_order(words):
    assert fill("{{range .}}<{{.}}>{{end}}", words) == "".join(f"<{word}>" for word in words)


PARTS = (
    *("{{", "}}", " ", "-", ".", ".Id", ".Args", "$x", "$", ":=", "=", "|", "(", ")", ",", "1"),
    *(
        '"a"',
        "`b`",
        "'c'",
        "if",
        "range",
        "with",
        "else",
        "end",
        "break",
        "text",
        "/*",
        "*/",
        "nil",
    ),
    *FUNCTIONS,
)


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=14).map(" ".join))
def test_any_words_are_filled_in_or_refused(template):
    try:
        fill("{{" + template)
        return
    except TemplateError as error:
        caught = error
    assert caught.why


@modest
@given(st.text(max_size=60))
def test_any_text_at_all_is_filled_in_or_refused(text):
    try:
        fill(text)
        return
    except TemplateError as error:
        caught = error
    assert caught.why


def test_a_template_as_deep_as_a_well_is_refused():
    for template in (
        "{{if 1}}" * 3000 + "{{end}}" * 3000,
        "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
    ):
        with pytest.raises(TemplateError, match="inside each other"):
            Template.parse(template)


def test_a_template_as_long_as_a_book_is_refused():
    with pytest.raises(TemplateError, match="longer than"):
        Template.parse("x" * 100_000)
