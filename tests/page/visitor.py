"""Somebody who looks at the page, and notes of what the browser complains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

WAIT_MS: Final = 60_000  # the machine may be busy
STEP_MS: Final = 100
_HARMLESS: Final = ("[DOM]", "favicon")


class Visitor:
    """A page in a browser. `pictures`: a folder that screenshots are written to; "" is none."""

    def __init__(self, context: Any, url: str, pictures: str = "") -> None:
        self._url, self._pictures = url, pictures
        self.suffix = ""  # of the names of pictures
        self.complaints: list[str] = []
        context.set_default_timeout(WAIT_MS)
        self.page = context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._said)
        self.page.on("response", self._answered)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning") and not any(word in message.text for word in _HARMLESS):
            self.complaints.append(message.text)

    def _answered(self, response: Any) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status} {response.url}")

    def go(self, path: str) -> None:
        """Opens a view by its address, and waits until it is alive."""
        self.page.goto(self._url + path)
        self.page.get_by_role("heading", level=1).wait_for()

    def sign_in(self, key: str, path: str = "/") -> None:
        """Asks for a view, and shows a key where it is asked for."""
        self.go(path)
        self.page.get_by_label("API key or token").fill(key)
        self.page.get_by_role("button", name="Sign in").click()

    def sees(self, text: str, exact: bool = False) -> None:
        """Waits until a text is to be seen."""
        self.page.get_by_text(text, exact=exact).first.wait_for()

    def sees_heading(self, text: str) -> None:
        """Waits until a view with this title is there."""
        self.page.get_by_role("heading", level=1, name=text).wait_for()

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits for what is not to be seen. Raises AssertionError."""
        for _ in range(WAIT_MS // STEP_MS):
            if holds():
                return
            self.page.wait_for_timeout(STEP_MS)
        raise AssertionError(f"not within {WAIT_MS} ms")

    def alert(self) -> str:
        """What is told as a trouble now."""
        return " ".join(self.page.get_by_role("alert").all_inner_texts()).strip()

    def waits_for_alert(self, text: str) -> None:
        """Waits until a trouble is told."""
        self.page.get_by_role("alert").filter(has_text=text).first.wait_for()

    def picture(self, name: str) -> None:
        """Keeps how it looks, if pictures are wanted."""
        if self._pictures:
            self.page.wait_for_timeout(1_500)  # charts and graphs are drawn in the browser
            self.page.screenshot(path=Path(self._pictures) / f"{name}{self.suffix}.png")
