"""The fake model: short, sensible answers about the question, without any intelligence.

Used by the demo and wherever a test does not script the answer.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_ROLES = r"(?:system|user|human|assistant|model|instructions|tool(?: result)?|用户|助手|系统)"
# These open a turn: "User:", "Tool Result [name]:", "[User]", "<user>", "**User:**"; and alone on
# its line "## User" and "==mark== user (name)".
_MARKER = re.compile(
    rf"^[ \t]*(?:[*\[<|]*[ \t]*({_ROLES})(?:[ \t]*\[[^\]\n]*\])?[ \t]*(?:[\]>|*]+["
    r" \t]*[:\uff1a]?|[:\uff1a][ \t*]*)"
    rf"|(?:#+|==\w+==)[ \t]*({_ROLES})(?:[ \t]*\([^)\n]*\))?[ \t]*[:\uff1a]?[ \t]*$)",
    re.IGNORECASE | re.MULTILINE,
)
_USERS = ("user", "human", "用户")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_WORD = re.compile(r"\s*(?:[\u3000-\u9fff\uff00-\uffef]{1,2}|[^\s\u3000-\u9fff\uff00-\uffef]+)\s*")
_STOP_WORD = re.compile(
    r"a|about|an?d?|are|as|at|be|by|can|could|do|does|explain|for|from|give|had|has|have|how|i|in|is|its?|let|make|me|my"
    r"|of|on|or|our|please|should|so|some|tell|than|that|the|their|them|then|there|these|they|this|to|us|was|we|were"
    r"|what|when|where|which|who|why|will|with|would|you|your",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ModelAnswer:
    """One answer; thoughts are (headline, prose), `media` the MIME type of a made file or empty."""

    text: str
    thoughts: tuple[tuple[str, str], ...] = ()
    media: str = ""


def reply_to(prompt: str) -> ModelAnswer:
    """Answer the last user message of a prompt, which may be a flattened conversation."""
    message = last_user_message(prompt)
    chinese = bool(_CHINESE.search(message))
    for attempt in (_media, _echo, _arithmetic, _counting, _greeting, _abilities, _haiku, _code):
        answer = attempt(message, chinese)
        if answer is not None:
            return answer
    return _reflection(message, chinese)


def last_user_message(prompt: str) -> str:
    """The last thing that the user said; the whole prompt when it names no roles."""
    markers = list(_MARKER.finditer(prompt))
    said = ""
    for number, marker in enumerate(markers):
        end = markers[number + 1].start() if number + 1 < len(markers) else len(prompt)
        text = prompt[marker.end() : end].strip()
        if (marker[1] or marker[2]).lower() in _USERS and text:
            said = re.sub(rf"\s*</{_ROLES}>\s*$", "", text, flags=re.IGNORECASE)
    return said or prompt.strip()


def words(text: str) -> Iterator[str]:
    """The text in the fragments in which a model would stream it."""
    end = 0
    for match in _WORD.finditer(text):
        end = match.end()
        yield match[0]
    if end < len(text):
        yield text[end:]


def _media(message: str, chinese: bool) -> ModelAnswer | None:
    subject = _matched(
        r"(?:please |can you |could you )*(?:draw|paint|sketch|(?:generate|create|make) (?:me )?"
        r"(?:an? |the )?(?:\w+ ){0,2}(?:image|picture|photo|video|clip|drawing))\b(.*)|"
        r"(?:请|帮我|给我)*(?:画|生成)(?:一?[张幅个])?(.*)",
        message,
    )
    if subject is None:
        return None
    video = bool(re.search(r"\b(video|clip)\b|视频", message, re.IGNORECASE))
    what = re.sub(r"^(?:me|of)\s+", "", subject.strip(" .!?。")) or "your idea"
    text = f"这是为你画的：{what}。\n\n" if chinese else f"Here is {what}, as I imagine it.\n\n"
    thoughts = (("Composing the Scene", f"I settle the composition and colours for {what}."),)
    return ModelAnswer(text, thoughts, "video/mp4" if video else "image/png")


def _echo(message: str, chinese: bool) -> ModelAnswer | None:
    del chinese
    said = _matched(
        r"(?:please )?(?:say|repeat(?: after me)?|echo|reply with|answer with|respond with)"
        r"(?: (?:exactly|only|just))*(?: the"
        r" words?)?\s*:?\s+(.+)|(?:请)?(?:重复|跟我说|说)[:\uff1a]?\s*(.+)",
        message,
    )
    return ModelAnswer(said.strip().strip("\"'“”「」")) if said else None


def _arithmetic(message: str, chinese: bool) -> ModelAnswer | None:
    found = re.search(r"[\d.(][\d\s.()+\-*/×÷x^%]*[\d.)]", message)
    if found is None or not re.search(r"\d\s*[+\-*/×÷x^%]", found[0]):
        return None
    try:
        value = _compute(found[0])
    except (ValueError, SyntaxError, ArithmeticError, RecursionError, MemoryError):
        return None
    expression = " ".join(found[0].split())
    text = f"{expression} 等于 **{value}**。" if chinese else f"{expression} = **{value}**"
    thoughts = (("Working It Out", f"This is plain arithmetic: {expression} gives {value}."),)
    return ModelAnswer(text, thoughts)


def _counting(message: str, chinese: bool) -> ModelAnswer | None:
    found = re.search(
        r"count (?:up )?(?:from (\d+) )?to (\d+)|数到\s*(\d+)", message, re.IGNORECASE
    )
    if found is None:
        return None
    first, last = int(found[1] or 1), min(int(found[2] or found[3]), 1000)
    return ModelAnswer(
        ("、" if chinese else ", ").join(map(str, range(first, last + 1))) + ".。"[chinese]
    )


def _greeting(message: str, chinese: bool) -> ModelAnswer | None:
    pattern = (
        r"(hi|hey|hello|good (morning|evening|day)|你好|您好|嗨)( there)?[\s!.,\uff01。\uff0c]*"
    )
    if not re.fullmatch(pattern, message, re.IGNORECASE):
        return None
    if chinese:
        return ModelAnswer(
            "你好！我是一个模拟的模型，不过这条路是真的：你的问题经过了整个网关。想聊点什么？"
        )
    return ModelAnswer(
        "Hello! I am a simulated model, but the road here is real: your question went through the"
        " whole gateway and this answer streams back word by word. What would you like to talk"
        " about?"
    )


def _abilities(message: str, chinese: bool) -> ModelAnswer | None:
    asked = r"what (can|do) you (do|help)|who are you|what are you|你(能|可以|会)(做|干)|你是谁"
    if not re.search(asked, message, re.IGNORECASE):
        return None
    if chinese:
        return ModelAnswer(
            "我是网关自带的模拟模型。我可以：\n\n"
            "- 计算，例如 `17*23`\n- 数数、重复你的话\n- 写一首俳句或一小段代码\n- “画”一张小图\n\n"
            "配置真实账号之后，同样的请求会由真正的模型回答。"
        )
    return ModelAnswer(
        "I am the simulated model that comes with this gateway. I can:\n\n"
        "- do sums, such as `17*23`\n- count to ten, or repeat after you\n"
        "- write a haiku or a little code\n- draw a small picture\n\n"
        "With a real account configured, the same requests are answered by a real model.",
        (("Considering the Question", "The user wants to know what I am good for."),),
    )


def _haiku(message: str, chinese: bool) -> ModelAnswer | None:
    if not re.search(r"\b(haiku|poem|verse)\b|俳句|诗", message, re.IGNORECASE):
        return None
    if chinese:
        return ModelAnswer("字句如流水，\n一片一片随风来，\n未尽已成诗。")
    return ModelAnswer(
        "Words arrive like rain,\none by one along the wire —\nthe stream finds its end.",
        (("Counting Syllables", "Five, seven, five: something about words that arrive singly."),),
    )


def _code(message: str, chinese: bool) -> ModelAnswer | None:
    if not re.search(
        r"\b(code|function|script|program|python|snippet)\b|代码|函数|程序", message, re.I
    ):
        return None
    intro = "下面是一个小例子：" if chinese else "Here is a small example:"
    outro = (
        "运行后会打印 `[0, 1, 1, 2, 3, 5, 8, 13]`。"
        if chinese
        else ("Run it, and it prints `[0, 1, 1, 2, 3, 5, 8, 13]`.")
    )
    code = (
        "```python\nfrom itertools import islice\n\n\ndef fibonacci():\n    a, b = 0, 1\n"
        "    while True:\n        yield a\n        a, b = b, a + b\n\n\n"
        "print(list(islice(fibonacci(), 8)))\n```"
    )
    thoughts = (("Choosing an Example", "A generator is short and shows something useful."),)
    return ModelAnswer(f"{intro}\n\n{code}\n\n{outro}", thoughts)


def _reflection(message: str, chinese: bool) -> ModelAnswer:
    if chinese:
        subject = message.strip(" ?\uff1f。!\uff01\n")[:40]
        return ModelAnswer(
            f"关于“{subject}”，可以从三个方面来看：它是什么，它为什么重要，以及从哪里入手。"
            "先弄清最基本的概念，再找一个具体的例子，通常就能看出其中的联系。"
            "(这是模拟模型的回答；配置真实账号后，这里会是真正的模型。)",
            (("Assessing the Request", f"用户想了解“{subject}”，我来想想怎样回答。"),),
        )
    subject = _subject(message)
    return ModelAnswer(
        f"That is a good question about **{subject}**. It helps to look at it from three sides:"
        f" what {subject} is made of, why it matters to the person asking, and where one would"
        " begin. Start with the simplest case, work through one concrete example, and the rest"
        " tends to fall into place. (A simulated model wrote this; with a real account you get a"
        " real one. 🙂)",
        (
            (
                "Assessing the Request",
                f"I'm looking at what the user wants to know about {subject}.",
            ),
            ("Formulating the Response", "A short paragraph with a place to start will do."),
        ),
    )


def _subject(message: str) -> str:
    """The first stretch of the question that tells something, a few words long."""
    tokens = list(re.finditer(r"[\w'’-]+", message[:2000]))
    telling = [at for at, token in enumerate(tokens) if not _STOP_WORD.fullmatch(token[0])]
    if not telling:
        return "this"
    first = telling[0]
    last = max(at for at in telling if at < first + 6)
    return " ".join(token[0] for token in tokens[first : last + 1])


def _matched(pattern: str, message: str) -> str | None:
    match = re.match(pattern, message.strip(), re.IGNORECASE | re.DOTALL)
    if match is None:
        return None
    return next((group for group in match.groups() if group), "")


_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.FloorDiv: operator.floordiv,
}


def _compute(expression: str) -> str:
    """The value of a sum. Raises ValueError, SyntaxError or ArithmeticError for anything else."""
    source = expression.strip().replace("×", "*").replace("÷", "/").replace("x", "*")
    if len(source) > 100:
        raise ValueError("too long")
    value = _value(ast.parse(source.replace("^", "**"), mode="eval").body)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            base, power = _value(left), _value(right)
            if abs(base) > 1000 or abs(power) > 64:
                raise ValueError("too large")
            return float(base**power) if power < 0 else base ** int(power)
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_value(left), _value(right))
        case _:
            raise ValueError("not a sum")
