"""Go's ``printf``: as many of its verbs as make sense for what docker tells."""

from __future__ import annotations

import re

from pyengine.cli.template_values import kind_of, number_text, quoted, shown

LARGEST_WIDTH = 1000
"""No table needs a wider column, and a width is a way to ask for gigabytes."""

_DIRECTIVE = re.compile(r"%([-+# 0]*)(\d+)?(?:\.(\d*))?(.?)", re.DOTALL)
_BASES = {"b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}


def printf(form: str, values: tuple[object, ...]) -> str:
    """*form* with *values* in the places of its directives; `ValueError` for a giant width.

    >>> printf("%-4s|%05.1f|%x", ("a", 2.25, 255))
    'a   |002.2|ff'
    """
    left = list(values)

    def one(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        if verb in ("*", "["):
            raise ValueError(f"printf: %{verb} is not part of these templates")
        wide, exact = _small(width), None if precision is None else _small(precision)
        if not verb:
            return "%!(NOVERB)"
        if not left:
            return f"%!{verb}(MISSING)"
        value = left.pop(0)
        text = _formatted(verb, value, flags, exact)
        if text is None:
            return f"%!{verb}({_described(value)})"
        return _filled(text, flags, wide, is_number=kind_of(value) in ("int", "float64"))

    text = _DIRECTIVE.sub(one, form)
    return text + (f"%!(EXTRA {', '.join(map(_described, left))})" if left else "")


def _small(digits: str | None) -> int:
    number = int(digits[:10]) if digits else 0
    if number > LARGEST_WIDTH:
        raise ValueError(f"printf: {digits[:20] if digits else ''} is wider than {LARGEST_WIDTH}")
    return number


def _described(value: object) -> str:
    return "<nil>" if value is None else f"{kind_of(value)}={shown(value)}"


def _filled(text: str, flags: str, width: int, *, is_number: bool) -> str:
    if "-" in flags:
        return text.ljust(width)
    if "0" not in flags:
        return text.rjust(width)
    return text.zfill(width) if is_number else text.rjust(width, "0")


def _formatted(verb: str, value: object, flags: str, precision: int | None) -> str | None:
    """*value* as *verb* asks; `None` if it cannot be."""
    if verb == "v":
        return _signed(value, flags, shown(value))
    if verb == "T":
        return kind_of(value)
    if verb in "qs" and isinstance(value, list | tuple):
        inside = [_formatted(verb, one, flags, precision) for one in value]
        return f"[{' '.join(text or '' for text in inside)}]"
    if isinstance(value, bool):
        return shown(value) if verb == "t" else None
    if isinstance(value, str):
        return _text(verb, value, precision)
    if isinstance(value, int):
        return _integer(verb, value, flags, precision)
    if isinstance(value, float):
        return _float(verb, value, flags, precision)
    return None


def _text(verb: str, value: str, precision: int | None) -> str | None:
    cut = value if precision is None else value[:precision]
    if verb == "s":
        return cut
    if verb == "q":
        return quoted(cut)
    if verb in "xX":
        text = cut.encode("utf-8", "surrogateescape").hex()
        return text.upper() if verb == "X" else text
    return None


def _integer(verb: str, value: int, flags: str, precision: int | None) -> str | None:
    if verb in "cqU":
        return _character(verb, value)
    if verb == "d":
        digits = str(abs(value))
    elif verb in _BASES:
        prefix = {"x": "0x", "X": "0X", "o": "0", "O": "0o", "b": "0b"}[verb]
        digits = format(abs(value), _BASES[verb])
        digits = (prefix if "#" in flags or verb == "O" else "") + digits
    else:
        return None
    digits = digits.zfill(precision or 0)
    return _signed(value, flags, f"-{digits}" if value < 0 else digits)


def _character(verb: str, value: int) -> str:
    if verb == "U":
        return f"U+{value:04X}"
    valid = 0 <= value <= 0x10FFFF and not 0xD800 <= value <= 0xDFFF
    text = chr(value) if valid else "\N{REPLACEMENT CHARACTER}"
    return f"'{quoted(text)[1:-1]}'" if verb == "q" else text


def _float(verb: str, value: float, flags: str, precision: int | None) -> str | None:
    if verb in "gG" and precision is None:
        text = number_text(value)
        return _signed(value, flags, text.upper() if verb == "G" else text)
    if verb not in "feEgGF":
        return None
    return _signed(value, flags, format(value, f".{6 if precision is None else precision}{verb}"))


def _signed(value: object, flags: str, text: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and text[0] not in "-+":
        if "+" in flags:
            return f"+{text}"
        if " " in flags:
            return f" {text}"
    return text
