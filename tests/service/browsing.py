"""A browser without a screen: it keeps cookies, goes where it is sent, and sends the forms that it was given."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from serving.http.metrics import Metrics
from serving.keys.keyring import Keyring
from serving.pages.handlers import page_routes
from serving.process.state import Answering, ServingState
from tests.service.calling import Client

if TYPE_CHECKING:
    import httpx

    from serving.changes.voices import Voices
    from serving.scoring.scorer import Scorer
    from serving.stored.door import Door

__all__ = ["Browser", "lead_ids_on", "pages_over", "token_in"]


def pages_over(
    door: Door, scorer: Scorer, keyring: Keyring | None = None, *, voices: Voices | None = None, capacity: int = 40
) -> Client:
    """Return a client of an application that has the pages."""
    keyring = keyring or Keyring(None)
    metrics, state = Metrics(CollectorRegistry()), ServingState(Answering(scorer))
    routes = page_routes(door, state, keyring, metrics, voices=voices, capacity=capacity)
    return Client(scorer, keyring=keyring, more=routes)


class Browser:
    """Cookies of its own over a client."""

    def __init__(self, client: Client, *, language: str = "en", host: str = "") -> None:
        self._client = client
        self._headers = {"accept-language": language} | ({"host": host} if host else {})
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._call("GET", path, headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> httpx.Response:
        return self._call("POST", path, headers, data=fields)

    def sign_in(self, key: str, going_on: str = "/") -> httpx.Response:
        token = token_in(self.get("/sign-in"))
        return self.post("/sign-in", {"key": key, "token": token, "next": going_on})

    def _call(self, method: str, path: str, headers: dict[str, str], **options: object) -> httpx.Response:
        told = self._headers | {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            told["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self._client(method, path, headers=told, **options)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.split(";")[0].partition("=")
            self.cookies.pop(name, None)
            if value.strip('"'):
                self.cookies[name] = value
        return answer


def token_in(page: httpx.Response, action: str = "") -> str:
    """Return the token of the first form of a page, or of the form with an action."""
    found = re.search(rf'action="{re.escape(action)}[^"]*".*?name="token" value="(\w+)"', page.text, re.DOTALL)
    assert found, page.text[:500]
    return found[1]


def lead_ids_on(page: httpx.Response) -> list[str]:
    """Return the leads that a list shows, in order."""
    return [html.unescape(each) for each in re.findall(r'href="/leads/([\w%-]+)"', page.text)]
