"""What ``from dccd_core import ...`` gives, from signatures and docstrings."""

import ast
import inspect
from collections.abc import Callable, Iterator
from textwrap import dedent
from typing import Any, Final

import dccd_core
from dccd_core import Lake
from docs.hooks.markdown import code, docstring, table

_HEAD: Final = """# Python

Written by `make docs` from signatures and docstrings. How it is used: [from Python](../python.md).

"""
_BELOW: Final = """### What else it has

One level below, for the functions of the core; times are microseconds there.

"""
_WIDTH: Final = 100


def api_page() -> str:
    """Return the page of all names that are to be imported from ``dccd_core``."""
    classes = sorted(api(), key=lambda one: (one is not Lake, issubclass(one, Exception), one.__name__))
    return _HEAD + "\n".join(map(_class, classes))


def api() -> list[type]:
    """Return what is to be imported from ``dccd_core``."""
    found = [getattr(dccd_core, name) for name in dir(dccd_core)]
    return [one for one in found if isinstance(one, type) and one.__module__.startswith("dccd_core.")]


def members(of: type) -> dict[str, Any]:
    """Return the public methods and properties that a class defines itself, by name, in order."""
    return {
        name: one
        for name, one in vars(of).items()
        if not name.startswith("_") and (isinstance(one, property) or _function(one)) and _doc(one)
    }


def _class(of: type[Any]) -> str:
    bases = [base.__name__ for base in of.__bases__ if base in api()]
    about = f"A kind of {', '.join(map(code, bases))}.\n\n" if bases else ""
    made = "" if _is_error(of) else f"```python\n{_made(of)}\n```\n\n"
    parts = [f"## {of.__name__}\n\n{made}{about}{docstring(of.__doc__)}\n"]
    parts += [_member(of, name, one) for name, one in members(of).items()]
    if rows := list(_inherited(of)):
        parts.append(_BELOW + table(("method", "what"), rows))
    return "\n".join(parts)


def _is_error(of: type[Any]) -> bool:
    return issubclass(of, Exception)


def _made(of: type) -> str:
    """Write how one is made: by ``__init__``, or of a dataclass by its fields."""
    if "__init__" in vars(of) and not hasattr(of, "__dataclass_fields__"):
        return _signature(of.__init__, of.__name__)
    fields = (node for node in _tree(of).body if isinstance(node, ast.AnnAssign))
    return _call(of.__name__, [ast.unparse(node).replace(" = ", "=") for node in fields], "")


def _member(of: type, name: str, one: Any) -> str:  # noqa: ANN401 -- a function, or what wraps one
    title = f"### {of.__name__}.{name}\n"
    shown = "" if isinstance(one, property) else f"\n```python\n{_signature(_function(one), name)}\n```\n"
    return f"{title}{shown}\n{docstring(_doc(one))}\n"


def _inherited(of: type) -> Iterator[tuple[str, str]]:
    """Yield what a class has of another one of ours that is no part of the API itself."""
    for base in of.__mro__[1:]:
        if base.__module__.startswith("dccd_core.") and base not in api():
            for name, one in members(base).items():
                if name not in vars(of):
                    yield code(name), docstring(_doc(one)).partition("\n\n")[0]


def _function(one: object) -> Callable[..., object] | None:
    inside: Any = getattr(one, "__func__", one)
    inside = inspect.unwrap(inside) if callable(inside) else inside
    return inside if inspect.isfunction(inside) else None


def _doc(one: object) -> str:
    return getattr(_function(one) or one, "__doc__", "") or ""


def _signature(function: Callable[..., object] | None, name: str) -> str:
    """Write a function's head as its source has it, without self."""
    assert function
    (node,) = ast.parse(dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    known = "" if node.returns is None or name[:1].isupper() else f" -> {_typed(node.returns)}"
    word = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return word + _call(name, list(_arguments(node.args)), known)


def _call(name: str, arguments: list[str], returned: str) -> str:
    one = f"{name}({', '.join(arguments)}){returned}"
    if len(one) <= _WIDTH:
        return one
    return f"{name}(\n" + "".join(f"    {each},\n" for each in arguments) + f"){returned}"


def _arguments(of: ast.arguments) -> Iterator[str]:
    plain = [*of.posonlyargs, *of.args]
    defaults = [None] * (len(plain) - len(of.defaults)) + list(of.defaults)
    for at, (one, default) in enumerate(zip(plain, defaults, strict=True), 1):
        if one.arg not in ("self", "cls"):
            yield _argument(one, default)
        if at == len(of.posonlyargs):
            yield "/"
    if of.vararg or of.kwonlyargs:
        yield f"*{_argument(of.vararg, None)}" if of.vararg else "*"
    for one, default in zip(of.kwonlyargs, of.kw_defaults, strict=True):
        yield _argument(one, default)


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    of = f": {_typed(one.annotation)}" if one.annotation else ""
    return f"{one.arg}{of}" + ("" if default is None else f" = {ast.unparse(default)}")


def _typed(annotation: ast.expr) -> str:
    """Write a type; one that is imported for type checkers only stands in quotes."""
    return ast.unparse(annotation).strip("'")


def _tree(of: type) -> ast.ClassDef:
    (node,) = ast.parse(dedent(inspect.getsource(of))).body
    assert isinstance(node, ast.ClassDef)
    return node
