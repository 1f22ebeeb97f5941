"""A redirect is told, and neither key nor request go where it leads."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from langchain_rocm import ChatRocm
from rocm_core import load_model
from rocm_core.errors import HTTPStatusError
from tests.support.servers.fake_server import FakeServer, Reply
from tests.support.servers.scripts import CHAT


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["/props", CHAT])
def test_nothing_goes_where_a_redirect_leads(scripted: FakeServer, path: str, status: int) -> None:
    with FakeServer() as other:
        to = {"Location": f"{other.url}{path}", "Set-Cookie": "a=b"}
        scripted.script(path, Reply([b"moved"], status, headers=to))
        with (
            load_model(scripted.url, api_key="sk-secret") as model,
            pytest.raises(HTTPStatusError, match=other.url),
        ):
            list(model.chat([{"role": "user", "content": "Hi"}]))
        with pytest.raises(HTTPStatusError, match=other.url):
            ChatRocm(base_url=scripted.url, api_key=SecretStr("sk-secret")).invoke("Hi")
        assert other.requests == []
