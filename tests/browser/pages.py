"""The pages of the console. Each new one is a line here: all of them are looked at in both languages
and themes, on the narrowest phone, and by keyboard.
"""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Page


@dataclass(frozen=True, slots=True)
class Shown:
    """`path` may name `{account}` and `{key}`; `heading`: in English and in Chinese. `image`: its name
    in docs/img, if it is shown there.
    """

    path: str
    english: str
    chinese: str
    image: str = ""


# Without script these say that they need it.
PAGES = (
    Shown("/admin", "What needs you", "待处理", "home"),
    Shown("/admin/accounts", "Accounts", "账号", "accounts"),
    Shown("/admin/accounts/new", "Add an account", "添加账号", "add-account"),
    Shown("/admin/accounts/added?id={account}", "Live check", "实时检查"),
    Shown("/admin/accounts/{account}/delete", "Delete anna?", "删除 anna？"),
    Shown("/admin/accounts/{account}/edit", "Edit anna", "编辑 anna"),
    Shown("/admin/keys", "Keys", "密钥", "keys"),
    Shown("/admin/keys/{key}/edit", "Edit laptop", "编辑 laptop"),
    Shown("/admin/keys/{key}/revoke", "Revoke laptop?", "吊销 laptop？"),
    Shown("/admin/connect", "Connect a program", "连接程序", "connect"),
    Shown("/admin/playground", "Playground", "试用", "playground"),
    Shown("/admin/overview", "Overview", "概览", "overview"),
    Shown("/admin/requests", "Requests", "请求", "requests"),
    Shown("/admin/alerts", "Alerts", "告警"),
    Shown("/admin/none", "There is no such page", "页面不存在"),
)
SIGN_IN = Shown("/admin/sign-in", "Sign in", "登录")


def heading(page: Page) -> str:
    return page.locator("h1").inner_text()
