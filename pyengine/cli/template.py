"""Templates of ``--format``: as much of Go's text/template as people write for docker.

Here a text becomes a `Template`; `template_render` fills it in, `template_functions` has the
words that may be called. What is not here: ``define``, ``block`` and ``template``.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from pyengine.cli.template_functions import FUNCTIONS
from pyengine.cli.template_words import Action, Token, words_of
from pyengine.cli.usage import TemplateError

DEEPEST = 100
"""How many blocks and brackets may stand inside each other."""


@frozen
class Operand:
    """One word of a command; *names* are the fields asked of it, one after the other.

    *kind* says what it starts from: ``dot``, ``variable``, ``function``, ``value`` or ``pipe``,
    and *start* is the variable's or function's name, the value, or the pipeline in brackets.
    """

    kind: str
    start: object = None
    names: tuple[str, ...] = ()


Command = tuple[Operand, ...]


@frozen
class Pipe:
    """Commands, each given the result of the one before; the last result goes to *variables*.

    *is_new*: ``:=`` makes the variables, ``=`` needs them to be there.
    """

    commands: tuple[Command, ...]
    variables: tuple[str, ...] = ()
    is_new: bool = False


@frozen
class Block:
    """``if``, ``with`` or ``range``: *body* if there is something, else *otherwise*."""

    word: str
    pipe: Pipe
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...] = ()


@frozen
class Leave:
    """``break`` or ``continue``."""

    word: str


Node = str | Pipe | Block | Leave


@frozen
class Template:
    """A template that has been read; *source* is how it was written.

    >>> Template.parse("{{.Name}}: {{len .Mounts}}").render({"Name": "web", "Mounts": []})
    'web: 0'
    """

    source: str
    nodes: tuple[Node, ...]

    @classmethod
    def parse(cls, source: str) -> Template:
        """Read *source*; `TemplateError` where it is malformed."""
        return cls(source, _Parser(source).all())

    def render(self, data: object) -> str:
        """*source* with what *data* has in its places; `TemplateError` where it has not."""
        from pyengine.cli.template_render import render

        return render(self, data)


class _Parser:
    """Reads the words of one template; each method reads one thing and says where it ended."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._words = words_of(source)
        self._loops = 0
        self._scopes: list[set[str]] = [{"$"}]

    def all(self) -> tuple[Node, ...]:
        """The nodes of the whole template."""
        nodes, ended_by = self._nodes(0)
        if ended_by:
            raise self._fault(f"unexpected {{{{{ended_by[0].text}}}}}")
        return nodes

    def _nodes(self, depth: int) -> tuple[tuple[Node, ...], list[Token]]:
        """Nodes up to an ``end`` or ``else``, and the tokens of that; none at the very end."""
        if depth > DEEPEST:
            raise self._fault(f"more than {DEEPEST} blocks inside each other")
        nodes: list[Node] = []
        for word in self._words:
            if not isinstance(word, Action):
                if word:
                    nodes.append(word)
                continue
            tokens = _stripped(word.tokens)
            first = tokens[0].text if tokens and tokens[0].kind == "word" else ""
            if first in ("end", "else"):
                return tuple(nodes), tokens
            if first in ("if", "with", "range"):
                nodes.append(self._block(first, tokens[1:], depth + 1))
            elif first in ("break", "continue"):
                nodes.append(self._leave(first, tokens))
            elif first in ("define", "block", "template"):
                raise self._fault(f"{{{{{first}}}}} is not part of these templates")
            else:
                nodes.append(self._pipe(tokens))
        return tuple(nodes), []

    def _block(self, word: str, tokens: list[Token], depth: int) -> Block:
        self._scopes.append(set())
        pipe = self._pipe(tokens, ranges=word == "range")
        self._loops += word == "range"
        body, ended_by = self._body(depth)
        self._loops -= word == "range"
        otherwise: tuple[Node, ...] = ()
        if ended_by and ended_by[0].text == "else":
            chained = _stripped(ended_by[1:])
            if not chained:
                otherwise, ended_by = self._body(depth)
            elif chained[0].text == word and word != "range":  # {{else if}} shares our {{end}}
                otherwise = (self._block(word, chained[1:], depth + 1),)
                ended_by = [_END]
            else:
                raise self._fault(f"unexpected {chained[0].text!r} after else")
        if not ended_by:
            raise self._fault(f"{{{{{word}}}}} without {{{{end}}}}")
        if ended_by[0].text != "end" or len(ended_by) > 1:
            raise self._fault(f"unexpected {ended_by[-1].text!r} where {word} ends")
        self._scopes.pop()
        return Block(word, pipe, body, otherwise)

    def _body(self, depth: int) -> tuple[tuple[Node, ...], list[Token]]:
        self._scopes.append(set())
        found = self._nodes(depth)
        self._scopes.pop()
        return found

    def _leave(self, word: str, tokens: list[Token]) -> Leave:
        if not self._loops:
            raise self._fault(f"{{{{{word}}}}} outside {{{{range}}}}")
        if len(tokens) > 1:
            raise self._fault(f"unexpected {tokens[1].text!r} after {word}")
        return Leave(word)

    def _pipe(self, tokens: Sequence[Token], *, ranges: bool = False, depth: int = 0) -> Pipe:
        """The pipeline that *tokens*, all of them, are."""
        if depth > DEEPEST:
            raise self._fault(f"more than {DEEPEST} brackets inside each other")
        tokens, variables, is_new = self._declaration(_stripped(tokens), ranges=ranges)
        commands: list[Command] = []
        for part in _split(tokens, "|"):
            operands = self._operands(_stripped(part), depth)
            if not operands:
                raise self._fault("missing value")
            if operands[0] == _NIL:
                raise self._fault("nil is not a command")
            if commands and operands[0].kind == "value":
                raise self._fault("a constant cannot follow '|'")
            commands.append(operands)
        if is_new:
            self._scopes[-1].update(variables)
        return Pipe(tuple(commands), variables, is_new)

    def _declaration(
        self, tokens: Sequence[Token], *, ranges: bool
    ) -> tuple[Sequence[Token], tuple[str, ...], bool]:
        """What follows ``$a :=`` or ``$a, $b =``, the names, and whether they are new."""
        solid = [(index, token) for index, token in enumerate(tokens) if token.kind != "space"]
        names: list[str] = []
        for (_, token), (at, after) in zip(solid[::2], solid[1::2], strict=False):
            if token.kind != "variable" or len(names) == 2:
                break
            names.append(token.text)
            if after.text in (":=", "="):
                if len(names) > 1 and not ranges:
                    raise self._fault("too many variables before :=")
                if after.text == "=":
                    for name in names:
                        self._require(name)
                return tokens[at + 1 :], tuple(names), after.text == ":="
            if after.text != ",":
                break
        return tokens, (), False

    def _operands(self, tokens: Sequence[Token], depth: int) -> Command:
        found: list[Operand] = []
        index, spaced = 0, True
        while index < len(tokens):
            token = tokens[index]
            if token.kind == "space":
                index, spaced = index + 1, True
                continue
            if not spaced:
                raise self._fault(f"unexpected {token.text!r}: there is no space before it")
            operand, index = self._operand(tokens, index, depth)
            found.append(operand)
            spaced = False
        return tuple(found)

    def _operand(self, tokens: Sequence[Token], index: int, depth: int) -> tuple[Operand, int]:
        token = tokens[index]
        kind, names = "dot", []
        start: object = None
        if token.kind == "field":
            names.append(token.text[1:])
        elif token.kind == "variable":
            self._require(token.text)
            kind, start = "variable", token.text
        elif token.kind in ("string", "char", "number"):
            return Operand("value", token.value), index + 1
        elif token.kind == "word":
            return self._word(token.text), index + 1
        elif token.text == "(":
            end = self._closing(tokens, index)
            kind, start = "pipe", self._pipe(tokens[index + 1 : end], depth=depth + 1)
            index = end
        elif token.kind != "dot":
            raise self._fault(f"unexpected {token.text!r}")
        index += 1
        while index < len(tokens) and tokens[index].kind == "field" and token.kind != "dot":
            names.append(tokens[index].text[1:])
            index += 1
        return Operand(kind, start, tuple(names)), index

    def _word(self, word: str) -> Operand:
        if word in ("true", "false"):
            return Operand("value", word == "true")
        if word == "nil":
            return Operand("value", None)
        if word not in FUNCTIONS:
            raise self._fault(f"function {word!r} not defined")
        return Operand("function", word)

    def _closing(self, tokens: Sequence[Token], start: int) -> int:
        depth = 0
        for index in range(start, len(tokens)):
            depth += (tokens[index].text == "(") - (tokens[index].text == ")")
            if not depth:
                return index
        raise self._fault("unclosed left paren")

    def _require(self, name: str) -> None:
        if not any(name in scope for scope in self._scopes):
            raise self._fault(f"undefined variable {name!r}")

    def _fault(self, why: str) -> TemplateError:
        return TemplateError(self._source, why)


_END = Token("word", "end")
_NIL = Operand("value", None)


def _stripped(tokens: Sequence[Token]) -> list[Token]:
    found = list(tokens)
    while found and found[0].kind == "space":
        del found[0]
    while found and found[-1].kind == "space":
        del found[-1]
    return found


def _split(tokens: Sequence[Token], mark: str) -> list[list[Token]]:
    """*tokens* cut at each *mark* that is not inside brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.kind == "mark":
            depth += (token.text == "(") - (token.text == ")")
            if token.text == mark and depth == 0:
                parts.append([])
                continue
        parts[-1].append(token)
    return parts
