"""The playground: what is asked, what is shown of an answer, and what happens when it is stopped or
fails.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from gbproxy.simulator import (
    HoldHeaders,
    Pause,
    Stall,
    Text,
    Thought,
    answer,
    image_reply,
    overloaded,
    video_reply,
)
from tests.browser.conftest import ADMIN_KEY, Visit
from tests.support.chromium import Visitor, needs_chromium
from tests.support.polling import until
from tests.support.serving import Served, SharedUpstream

pytestmark = [needs_chromium, pytest.mark.slow]

SCRIPT = "<img src=x onerror=document.title='hit'>"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def page(operator: Visitor) -> Page:
    page = operator.open("/admin/playground")
    expect(page.get_by_label("Model").locator("option").nth(1)).to_be_attached()  # they are listed
    return page


def ask(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send").click()


def finish(page: Page) -> None:
    expect(page.get_by_role("status").get_by_text("The answer is complete.")).to_be_visible()


def test_an_answer_streams_with_its_thoughts_apart_and_goes_on_in_its_conversation(
    page: Page, upstream: SharedUpstream
) -> None:
    upstream.script(Thought("I think."), Text("Half "), Stall())
    ask(page, "Begin")
    expect(page.locator(".answer").last).to_have_text("Half")
    expect(page.locator(".thoughts .text").last).to_have_text("I think.")
    page.get_by_role("button", name="Stop").click()

    upstream.script(*answer("Whole ", SCRIPT))
    page.get_by_role("button", name="New conversation").click()
    ask(page, "First")
    finish(page)
    upstream.script(*answer("Second answer"))
    ask(page, "Again")
    expect(page.locator(".answer").last).to_have_text("Second answer")
    finish(page)

    expect(page.locator(".answer").nth(1)).to_have_text(f"Whole {SCRIPT}")
    assert page.title() != "hit"
    assert page.locator(".turn").count() == 4
    # The gateway has found the conversation by its history: one session, and only the new message.
    assert upstream.questions()[-1] == "Again"


def test_a_video_comes_as_a_link(page: Page, upstream: SharedUpstream) -> None:
    upstream.script(*video_reply())
    ask(page, "Film a cat")
    finish(page)

    link = page.locator(".answer a")
    assert re.fullmatch(r"/media/[\w-]+", link.get_attribute("href") or "")
    assert page.request.get(link.evaluate("link => link.href")).ok


def test_stopping_before_anything_has_come_gives_the_message_back(
    page: Page, gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(HoldHeaders())
    ask(page, "Never mind")
    until(lambda: upstream.questions() == ["Never mind"])
    page.get_by_role("button", name="Stop").click()

    expect(page.get_by_role("status").get_by_text("Stopped.")).to_be_visible()
    expect(page.get_by_label("Message", exact=True)).to_have_value("Never mind")
    assert page.locator(".turn").count() == 0
    assert gateway.wait_for_event("request.done", lambda line: line["status"] == 499)


def test_stopping_leaves_the_upstream_at_once(
    page: Page, gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(Text("Half "), Stall())
    ask(page, "A long story")
    expect(page.locator(".answer").last).to_have_text("Half")

    page.get_by_role("button", name="Stop").click()

    left = gateway.wait_for_event(
        "request.done", lambda line: line.get("client_gone") and line["key"] == "console"
    )
    assert left["route"] == "/v1/chat/completions"
    expect(page.get_by_role("status").get_by_text("Stopped.")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    upstream.script(*answer("Fine"))
    ask(page, "Go on")
    expect(page.locator(".answer").last).to_have_text("Fine")


def test_pictures_go_in_by_the_chooser_and_by_paste_and_come_out(
    page: Page, upstream: SharedUpstream, tmp_path: Path
) -> None:
    chosen = tmp_path / "chosen.png"
    chosen.write_bytes(PNG)
    page.get_by_label("Pictures").set_input_files(chosen)
    expect(page.get_by_role("button", name="Remove chosen.png")).to_be_visible()
    page.get_by_label("Message", exact=True).evaluate(
        """(field, bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([Uint8Array.from(bytes)], "pasted.png", {type: "image/png"}));
            field.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
        }""",
        list(PNG + b"\0"),  # another file
    )
    expect(page.get_by_role("button", name="Remove pasted.png")).to_be_visible()

    upstream.script(*image_reply())
    ask(page, "Draw a cat")
    finish(page)

    assert len(upstream.calls("widgetAddContextFile")) == 2
    made = page.get_by_role("img", name="Picture", exact=True)
    expect(made).to_be_visible()
    expect(made).to_have_js_property("complete", True)
    assert made.evaluate("image => image.naturalWidth") > 0
    expect(page.locator("#chosen li")).to_have_count(0)


def test_an_error_is_told_in_plain_words_and_the_message_stays(
    operator: Visitor, page: Page, upstream: SharedUpstream
) -> None:
    upstream.script(*overloaded(retry_delay_s=0.1), times=20)
    ask(page, "Hello")

    expect(page.get_by_role("alert").get_by_text("The model is busy just now.")).to_be_visible()
    expect(page.get_by_label("Message", exact=True)).to_have_value("Hello")
    assert page.locator(".turn").count() == 0
    operator.expect_refusal(503)


def test_an_answer_that_breaks_off_is_told(page: Page, upstream: SharedUpstream) -> None:
    upstream.script(Text("Half "), Pause(0.1))
    ask(page, "Hello")

    expect(page.get_by_role("alert").locator(".notice")).to_be_visible()
    expect(page.locator(".answer").last).to_have_text("Half")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Hello")


def test_a_session_that_was_ended_elsewhere_is_told(
    operator: Visitor, page: Page, visit: Visit, gateway: Served
) -> None:
    elsewhere = visit(gateway)
    elsewhere.sign_in(ADMIN_KEY)
    elsewhere.sign_out()

    ask(page, "Hello")

    expect(page.get_by_role("alert").get_by_text("Your sign-in has ended")).to_be_visible()
    operator.expect_refusal(401)


def test_any_model_of_the_list_answers_and_instructions_go_with_the_question(
    page: Page, upstream: SharedUpstream
) -> None:
    models = page.get_by_label("Model")
    expect(models.locator("option", has_text="gemini-3.8-flash")).to_be_attached()
    models.select_option("gemini-3.8-flash")
    page.get_by_text("Instructions and thoughts").click()
    page.get_by_label("System message").fill("Be brief.")
    page.get_by_label("Show thoughts").uncheck()

    upstream.script(*answer("Yes", thoughts=["Hidden."]))
    ask(page, "Are you there?")
    finish(page)

    expect(page.locator(".about").last).to_contain_text("gemini-3.8-flash")
    assert page.locator(".thoughts:visible").count() == 0
    assert "Be brief." in upstream.questions()[-1]


def test_the_shown_commands_do_the_same_with_a_key(page: Page, gateway: Served) -> None:
    page.get_by_label("Message", exact=True).fill('It\'s 6 times 7?\nSay "so".')
    page.get_by_text("The same with curl and Python").click()
    curl, python = (page.locator(id_).inner_text() for id_ in ("#as-curl", "#as-python"))

    assert "$API_KEY" in curl
    assert "$API_KEY" in python
    assert gateway.key not in curl + python
    said = subprocess.run(
        ["sh", "-c", curl],
        env={"API_KEY": gateway.key, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert said.stdout.endswith("data: [DONE]\n\n"), said
    compile(python, "shown", "exec")
    [messages] = re.findall(r"messages=(\[.*\]),\n", python)
    assert json.loads(messages)[0]["content"] == 'It\'s 6 times 7?\nSay "so".'


def test_without_script_the_page_says_that_it_needs_it(visit: Visit, gateway: Served) -> None:
    visitor = visit(gateway, java_script_enabled=False)
    visitor.sign_in(ADMIN_KEY)

    page = visitor.open("/admin/playground")

    expect(page.get_by_text("The playground needs JavaScript")).to_be_visible()
    expect(page.get_by_label("Message", exact=True)).to_be_hidden()
