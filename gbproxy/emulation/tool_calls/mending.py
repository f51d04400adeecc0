"""What a model wrote as JSON -> values, also where it is not quite JSON.

Chat models write Python literals and calls, single quotes, commas behind the last item, line breaks
within strings; and what passes a web page comes back escaped. Each reading says what was mended.
"""

from __future__ import annotations

import ast
import html
import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from gbproxy.domain import jsontext

Reading = tuple[Any, tuple[str, ...]]

MOST_CODE = 256 * 1024  # characters; longer ones are not read as Python


def readings(text: str) -> Iterator[Reading]:
    """Yield what a text can be read as, the likeliest first, with the names of the repairs."""
    text = text.strip()
    try:
        yield jsontext.decode(text), ()
    except ValueError:
        yield from _mended(text, ())
        yield from _as_python(text, ())
    if _ENTITY.search(text):
        plain = html.unescape(text)
        yield from _lenient(plain, ("html",))
        yield from _mended(plain, ("html",))
        yield from _as_python(plain, ("html",))
    if "\\" in text:  # all signs were escaped, as Markdown does
        plain = _MARKDOWN.sub(r"\1", text)
        yield from _lenient(plain, ("backslashes",))
        yield from _mended(plain, ("backslashes",))
        yield from _as_python(plain, ("backslashes",))


def _mended(text: str, repairs: tuple[str, ...]) -> Iterator[Reading]:
    for name, mend in _MENDS:
        mended = mend(text)
        if mended != text:
            text = mended
            repairs = (*repairs, name)
        yield from _lenient(text, repairs)


def _lenient(text: str, repairs: tuple[str, ...]) -> Iterator[Reading]:
    """JSON in which line breaks may stand within strings."""
    try:
        value = _LENIENT.decode(text)
        jsontext.encode(value)
    except (ValueError, RecursionError):
        return
    try:
        jsontext.decode(text)
    except ValueError:
        repairs = (*repairs, "line breaks")
    yield value, repairs


def _refuse(name: str) -> float:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


_LENIENT = json.JSONDecoder(strict=False, parse_constant=_refuse, parse_float=_finite)
_ENTITY = re.compile(r"&(?:[a-z]+|#\d+|#x[0-9a-f]+);", re.IGNORECASE)
_MARKDOWN = re.compile(r"\\([!-/:-@\[-`{-~])")  # before any sign of ASCII
_STRING = r'"(?:[^"\\]|\\.)*+"'
_BAD_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')
_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])", re.DOTALL)
_WORD = re.compile(rf"({_STRING})|\b(True|False|None)\b", re.DOTALL)
_WORDS = {"True": "true", "False": "false", "None": "null"}


def _escape_backslashes(text: str) -> str:
    """A pattern such as `\\d` in which the backslash was written once."""
    return _BAD_ESCAPE.sub(lambda found: found[0] if found[1] else r"\\", text)


def _drop_commas(text: str) -> str:
    return _COMMA.sub(lambda found: found[1] or "", text)


def _translate_words(text: str) -> str:
    return _WORD.sub(lambda found: found[1] or _WORDS[found[2]], text)


def _balance(text: str) -> str:
    """Closing brackets that were forgotten at the end, or stand there too often."""
    opened: list[str] = []
    for sign in _BRACKET.finditer(text):
        if sign[1]:
            continue
        if sign[2]:
            opened.append("}" if sign[2] == "{" else "]")
        elif not opened or opened.pop() != sign[3]:
            return text
        elif not opened and not text[sign.end() :].strip("}] \t\r\n"):
            return text[: sign.end()]
    return text + "".join(reversed(opened))


_BRACKET = re.compile(rf"({_STRING})|([{{\[])|([}}\]])", re.DOTALL)
_MENDS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("escapes", _escape_backslashes),
    ("commas", _drop_commas),
    ("python words", _translate_words),
    ("brackets", _balance),
)


def _as_python(text: str, repairs: tuple[str, ...]) -> Iterator[Reading]:
    """A Python literal, or calls of functions with named arguments."""
    if len(text) > MOST_CODE:
        return
    try:
        yield _python(text), (*repairs, "python")
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return


def _python(text: str) -> Any:
    # Python warns of a backslash that escapes nothing, and leaves it there
    text = _PYTHON_ESCAPE.sub(lambda found: found[0] if found[1] else r"\\", text)
    calls = [
        _value(line.value)
        for line in ast.parse(text).body
        if isinstance(line, ast.Expr | ast.Assign)
    ]
    if not calls:
        raise ValueError("no expression")
    value = calls if len(calls) > 1 else calls[0]
    jsontext.encode(value)
    return value


def _value(node: ast.expr, *, is_outermost: bool = True) -> Any:
    """Raises ValueError for what is neither a literal nor a call."""
    match node:
        case ast.Constant(value) if isinstance(value, str | int | None):
            return value
        case ast.Constant(value) if isinstance(value, float) and math.isfinite(value):
            return value
        case ast.Name(name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.List(items) | ast.Tuple(items):
            return [_value(item, is_outermost=is_outermost) for item in items]
        case ast.Dict(keys, values):
            return {
                _key(k): _value(v, is_outermost=False) for k, v in zip(keys, values, strict=True)
            }
        case ast.UnaryOp(ast.USub(), ast.Constant(value)) if isinstance(value, int | float):
            return -value
        case ast.Call(ast.Name("print"), [inner], []):
            return _value(inner)
        case ast.Call(function, [], keywords):
            arguments = {
                keyword.arg or "": _value(keyword.value, is_outermost=False) for keyword in keywords
            }
            # an object within arguments is written as a call of its class
            return {"name": _name(function), "arguments": arguments} if is_outermost else arguments
        case _:
            raise ValueError("neither a literal nor a call")


_PYTHON_ESCAPE = re.compile(r"""\\([\\'"abfnrtvxuUN0-7\n])|\\""")
_CONSTANTS = {"true": True, "false": False, "null": None}


def _key(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise ValueError("a key that is no text")


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(name):
            return name
        case ast.Attribute(inner, name):
            return f"{_name(inner)}.{name}"
        case _:
            raise ValueError("a call of something without a name")
