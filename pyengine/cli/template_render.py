"""Filling a template in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyengine.cli.template import Block, Command, Leave, Node, Operand, Pipe, Template
from pyengine.cli.template_functions import FUNCTIONS
from pyengine.cli.template_values import NOTHING, field_of, is_true, kind_of, printed
from pyengine.cli.usage import COUNT_FAULT, TemplateError

_MISSING = object()


def render(template: Template, data: object) -> str:
    """*template* with what *data* has; `TemplateError` where it does not have it."""
    filler = _Filler(data)
    try:
        filler.nodes(template.nodes, data)
    except (ValueError, TypeError) as error:
        raise TemplateError(template.source, str(error), COUNT_FAULT) from error
    return "".join(filler.out)


class _Left(Exception):
    """``break`` or ``continue`` on its way to its ``range``."""


class _Filler:
    """Collects the text of one template."""

    def __init__(self, data: object) -> None:
        self.out: list[str] = []
        self._scopes: list[dict[str, object]] = [{"$": data}]

    def nodes(self, nodes: tuple[Node, ...], dot: object) -> None:
        """Fill in *nodes*, where ``.`` is *dot*."""
        for node in nodes:
            if isinstance(node, str):
                self.out.append(node)
            elif isinstance(node, Pipe):
                value = self._pipe(node, dot)
                if not node.variables:
                    self.out.append(printed(value))
            elif isinstance(node, Leave):
                raise _Left(node.word)
            else:
                self._block(node, dot)

    def _block(self, block: Block, dot: object) -> None:
        self._scopes.append({})
        try:
            value = self._pipe(block.pipe, dot, assign=block.word != "range")
            if block.word == "range":
                self._range(block, value, dot)
            elif is_true(value):
                self._body(block.body, value if block.word == "with" else dot)
            else:
                self._body(block.otherwise, dot)
        finally:
            self._scopes.pop()

    def _body(self, nodes: tuple[Node, ...], dot: object) -> None:
        self._scopes.append({})
        try:
            self.nodes(nodes, dot)
        finally:
            self._scopes.pop()

    def _range(self, block: Block, value: object, dot: object) -> None:
        pairs = list(_pairs(value))
        if not pairs:
            self._body(block.otherwise, dot)
        for key, item in pairs:
            names = block.pipe.variables
            for name, content in zip(names, (key, item)[-len(names) :], strict=False):
                self._assign(name, content, is_new=block.pipe.is_new)
            try:
                self._body(block.body, item)
            except _Left as left:
                if left.args == ("break",):
                    break

    def _pipe(self, pipe: Pipe, dot: object, *, assign: bool = True) -> object:
        value: object = _MISSING
        for command in pipe.commands:
            value = self._command(command, dot, value)
        if assign:
            for name in pipe.variables:
                self._assign(name, value, is_new=pipe.is_new)
        return value

    def _assign(self, name: str, value: object, *, is_new: bool) -> None:
        if is_new:
            self._scopes[-1][name] = value
            return
        for scope in reversed(self._scopes):
            if name in scope:
                scope[name] = value
                return

    def _command(self, command: Command, dot: object, piped: object) -> object:
        first, *rest = command
        if first.kind == "function":
            return self._call(str(first.start), rest, dot, piped)
        arguments = [self._operand(one, dot) for one in rest]
        if piped is not _MISSING:
            arguments.append(piped)
        return self._operand(first, dot, arguments)

    def _call(self, name: str, operands: list[Operand], dot: object, piped: object) -> object:
        least, most, function = FUNCTIONS[name]
        count = len(operands) + (piped is not _MISSING)
        if count < least or (most is not None and count > most):
            wanted = f"{least}" if least == most else f"{least} to {most or 'any number'}"
            raise ValueError(f"wrong number of arguments for {name}: want {wanted}, got {count}")
        if name in ("and", "or"):
            return self._lazily(name, operands, dot, piped)
        arguments = [self._operand(one, dot) for one in operands]
        if piped is not _MISSING:
            arguments.append(piped)
        try:
            return function(*arguments)
        except ValueError as error:
            raise ValueError(f"error calling {name}: {error}") from error

    def _lazily(self, name: str, operands: list[Operand], dot: object, piped: object) -> object:
        """The first argument that decides, or the last; those behind it are not looked at."""
        value: object = None
        for operand in operands:
            value = self._operand(operand, dot)
            if is_true(value) == (name == "or"):
                return value
        return value if piped is _MISSING else piped

    def _operand(
        self, operand: Operand, dot: object, arguments: list[object] | None = None
    ) -> object:
        if operand.kind == "function":
            return self._call(str(operand.start), [], dot, _MISSING)
        if operand.kind == "value":
            value: object = operand.start
        elif operand.kind == "pipe":
            assert isinstance(operand.start, Pipe)
            value = self._pipe(operand.start, dot)
        elif operand.kind == "variable":
            value = self._variable(str(operand.start))
        else:
            value = dot
        return self._fields(value, operand.names, arguments or [])

    def _fields(self, value: object, names: tuple[str, ...], arguments: list[object]) -> object:
        """The fields *names*, one of the other; what is a method is called with *arguments*."""
        for index, name in enumerate(names, 1):
            value = field_of(value, name)
            if callable(value):
                value = value(*(arguments if index == len(names) else ()))
                if index == len(names):
                    return value
        if arguments:
            what = f"field {names[-1]}" if names else kind_of(value)
            raise ValueError(f"can't give an argument to {what}: it is no function")
        return value

    def _variable(self, name: str) -> object:
        return next(scope[name] for scope in reversed(self._scopes) if name in scope)


def _pairs(value: object) -> Iterable[tuple[object, object]]:
    """What ``range`` goes through: maps by the order of their keys."""
    if value is None or value is NOTHING:
        return ()
    if isinstance(value, Mapping):
        return ((key, value[key]) for key in sorted(value))
    if isinstance(value, list | tuple):
        return enumerate(value)
    raise ValueError(f"range can't iterate over {printed(value)}")
