"""What the head of an answer says beside its status: where to go, and when to try again."""

from __future__ import annotations

import email.utils
import time

import httpx
import pytest

from rocm_core.client.failures import error_from_response
from rocm_core.errors import HTTPStatusError

URL = "http://127.0.0.1:8080/v1/chat/completions"


def response(status: int, body: bytes, **headers: str) -> httpx.Response:
    return httpx.Response(status, content=body, headers=headers, request=httpx.Request("POST", URL))


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://other.example/v1", "https://other.example/v1"),
        ("/login?token=secret", "http://127.0.0.1:8080/login"),
        ("http://me:secret@other.example/", "http://other.example/"),
    ],
)
def test_redirect_names_its_target_without_secrets(location: str, shown: str) -> None:
    error = error_from_response(response(307, b"", location=location))

    assert type(error) is HTTPStatusError
    assert error.status == 307
    assert shown in str(error)
    assert "base_url=" in str(error)
    assert "secret" not in str(error)


# -- when to try again ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("9" * 400, 999999999.0),
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    error = error_from_response(response(503, b"no", **{"retry-after": value}))

    assert error.retry_after == seconds


def test_retry_after_a_date_to_come() -> None:
    then = email.utils.formatdate(time.time() + 30, usegmt=True)

    error = error_from_response(response(429, b"no", **{"retry-after": then}))

    assert error.retry_after == pytest.approx(30, abs=2)
