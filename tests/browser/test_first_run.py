"""From a gateway without accounts to a streamed answer, as a person goes who has only a browser."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import ADMIN_KEY, Visit, gateway_without_accounts, pasted
from tests.support.chromium import needs_chromium
from tests.support.serving import SharedUpstream


@needs_chromium
def test_three_pastes_lead_from_the_first_sign_in_to_a_streamed_answer(visit: Visit) -> None:
    with SharedUpstream() as upstream, gateway_without_accounts(upstream) as gateway:
        visitor = visit(gateway)
        visitor.sign_in(ADMIN_KEY)
        page = visitor.page
        expect(page.get_by_text("There is no account yet")).to_be_visible()
        known = pasted(upstream)

        for paste in (
            f"__Secure-C_SES={known['secure_c_ses']}",
            f"__Host-C_OSES={known['host_c_oses']}",
            f"https://business.gemini.google/home/cid/{known['config_id']}?csesidx={known['csesidx']}",
        ):
            page.get_by_label("What you copied").fill(paste)
            page.get_by_role("button", name="Look at it").click()
            expect(page.get_by_label("What you copied")).to_have_value("")  # it is taken in
        page.get_by_role("button", name="Store and check").click()
        expect(page.get_by_text("the sign-in is good")).to_be_visible()
        expect(page.locator("#base-url")).to_have_text(f"{gateway.url}/v1")

        page.get_by_role("link", name="Try it in the playground").click()
        page.get_by_label("Message", exact=True).fill("What is 6 * 7?")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_text("The answer is complete.")).to_be_visible()

        expect(page.locator(".answer").last).to_contain_text("42")
        done = gateway.wait_for_event(
            "request.done", lambda line: line["route"] == "/v1/chat/completions"
        )
        assert (done["status"], done["key"]) == (200, "console")
        assert known["secure_c_ses"] not in page.content()
        visitor.open("/admin")
        expect(page).not_to_have_url(re.compile("/accounts/new"))
        visitor.check()
