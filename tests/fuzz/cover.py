"""Which statements and branches of the readers an input reaches: counters put into their syntax trees at import.

Works alike on every Python the product supports, costs one store into a bytearray at each place, and needs no tracing.
Only bodies of functions are counted: what runs at import is reached by importing it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

ROOMS = ("agent.formats.", "agent.evidence.")
_SPACE = 1 << 15


@dataclass(frozen=True, slots=True)
class Place:
    """One counter. `line` is that of a statement; a branch inside one (the else that is not written, the right side of
    an `or`) guides the search and is no line of its own.
    """

    module: str
    scope: str
    line: int
    is_line: bool


class Cover:
    """All counters of this process. `hits` is what was reached since `clear`."""

    def __init__(self) -> None:
        self.hits = bytearray(_SPACE)
        self.places: list[Place] = []
        self._none = bytes(_SPACE)

    def clear(self) -> None:
        self.hits[:] = self._none

    def reached(self) -> int:
        """A number with a bit set for each place that was reached."""
        return int.from_bytes(self.hits, "little")

    @property
    def lines(self) -> int:
        """The bits of what `reached` gives that are of lines."""
        return int.from_bytes(bytes(place.is_line for place in self.places), "little")

    def add(self, place: Place) -> int:
        if len(self.places) == _SPACE:
            raise RuntimeError("more places than there is room for: raise _SPACE")
        self.places.append(place)
        return len(self.places) - 1

    def lines_of(self, reached: int) -> set[Place]:
        """The lines among a number of `reached`."""
        found = reached.to_bytes(_SPACE, "little")
        return {place for n, place in enumerate(self.places) if found[n] and place.is_line}

    def install(self) -> None:
        """Count in every module of ROOMS that is imported from now on."""
        loaded = [name for name in sys.modules if name.startswith(ROOMS)]
        if loaded:
            raise RuntimeError(f"imported before its counters were put in: {loaded[0]}")
        sys.meta_path.insert(0, _Finder(self))


class _Finder(MetaPathFinder):
    def __init__(self, cover: Cover) -> None:
        self._cover = cover

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname.startswith(ROOMS) else None
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin, self._cover)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, cover: Cover) -> None:
        super().__init__(fullname, path)
        self._cover = cover

    def get_code(self, fullname: str) -> CodeType:
        """Never from a cache, which would hold the plain one."""
        tree = ast.parse(self.get_data(self.path), self.path)
        changed = ast.fix_missing_locations(_Counters(fullname, self._cover).visit(tree))
        return compile(changed, self.path, "exec")

    def exec_module(self, module: ModuleType) -> None:
        hits: Any = self._cover.hits
        module.__dict__["__hits__"], module.__dict__["__hit__"] = hits, hits.__setitem__
        super().exec_module(module)


class _Counters(ast.NodeTransformer):
    """Puts a counter before each statement of each function, into each missing else, and behind each and/or."""

    def __init__(self, module: str, cover: Cover) -> None:
        self._module, self._cover = module, cover
        self._scope: list[str] = []
        self._depth = 0

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._scope.append(node.name)
        self.generic_visit(node)
        self._scope.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._scope.append(node.name)
        self._depth += 1
        node.body = self._counted(node.body)
        self._depth -= 1
        self._scope.pop()
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if self._depth:
            node.values[1:] = [self._behind(value) for value in node.values[1:]]
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        if self._depth:
            node.body, node.orelse = self._behind(node.body), self._behind(node.orelse)
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if self._depth and isinstance(body, list) and body and isinstance(body[0], ast.stmt):
                setattr(node, name, list(self._with_counters(body)))
        if self._depth and isinstance(node, ast.If) and not node.orelse:
            node.orelse = [self._counter(node, is_line=False)]
        return node

    def _counted(self, body: list[ast.stmt]) -> list[ast.stmt]:
        said = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
        return [*body[:said], *self._with_counters([self.visit(statement) for statement in body[said:]])] or body

    def _with_counters(self, body: list[ast.stmt]) -> Iterator[ast.stmt]:
        for statement in body:
            yield self._counter(statement, is_line=True)
            yield statement

    def _counter(self, at: ast.stmt, *, is_line: bool) -> ast.stmt:
        (made,) = ast.parse(f"__hits__[{self._place(at, is_line)}] = 1").body
        return ast.copy_location(made, at)

    def _behind(self, value: ast.expr) -> ast.expr:
        counted = ast.parse(f"(__hit__({self._place(value, False)}, 1), 0)[1]", mode="eval").body
        assert isinstance(counted, ast.Subscript) and isinstance(counted.value, ast.Tuple)
        counted.value.elts[1] = value
        return ast.copy_location(counted, value)

    def _place(self, at: ast.stmt | ast.expr, is_line: bool) -> int:
        return self._cover.add(Place(self._module, ".".join(self._scope), at.lineno, is_line))
