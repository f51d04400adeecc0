"""Texts in which something is easily damaged."""

from __future__ import annotations

CJK = "你好，世界。こんにちは 안녕하세요 𠮷野家"
EMOJI = "👨‍👩‍👧‍👦 🇩🇪🇯🇵 👍🏽 ❤️‍🔥 🏴󠁧󠁢󠁳󠁣󠁴󠁿"
RIGHT_TO_LEFT = "שלום עולם, مرحبا \u200fبالعالم\u202c"
LINE_ENDS = (
    "line\u2028paragraph\u2029next\u0085form\x0cvertical\x0bgroup\x1d end\r\nof\rall\n\nthis"
)
COMBINING = "e\u0301 n\u0303 Z\u0351\u036b\u0343 \ufeff\u200d"
SYNTAX = (
    'brackets }]{[ in "quotes"\\ \\u0041 data: x\n\ndata: [DONE]\n\n</script> & `code`\n}\n,\n{'
)

FRAGMENTS = (
    CJK,
    f" {EMOJI}",
    "\n",
    RIGHT_TO_LEFT,
    LINE_ENDS,
    "  ",
    COMBINING,
    SYNTAX,
    "**Bold** too. 終わり",
)
TEXT = "".join(FRAGMENTS)
THOUGHTS = (
    ("Assessing the Request", "I wonder what 月 is made of. 🤔"),
    ("Generating Response", "שלום\u2028it is clear now."),
)
QUESTION = f"What is in {CJK} {EMOJI} {RIGHT_TO_LEFT} {LINE_ENDS} {COMBINING} {SYNTAX}?"
