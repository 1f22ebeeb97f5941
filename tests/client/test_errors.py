"""What a server's error becomes: class, fields, words; and that every error can be pickled."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rocm_core import errors
from rocm_core.client.failures import error_from_body, error_from_response, translated
from rocm_core.config import Timeouts
from rocm_core.errors import (
    AuthenticationError,
    ClientError,
    ConfigError,
    ContextOverflow,
    EndpointNotFound,
    GenerationError,
    HTTPStatusError,
    InvalidRequest,
    NotSupported,
    ProtocolError,
    RequestTimeout,
    RocmError,
    ServerBusy,
    ServerError,
    ServerLoading,
    ServerStalled,
    ServerUnreachable,
    StreamInterrupted,
)
from tests.support.servers.fake_server import CAPTURES, capture

URL = "http://127.0.0.1:8080/v1/chat/completions"

CAPTURED = {
    "error_400_context.b11434": (400, ContextOverflow),
    "error_400_context.x11549": (400, ContextOverflow),
    "error_400_field.b11434": (400, InvalidRequest),
    "error_400_grammar.b11434": (400, InvalidRequest),
    "error_400_messages.b11434": (400, InvalidRequest),
    "error_400_type.b11434": (400, InvalidRequest),
    "error_401.b11434": (401, AuthenticationError),
    "error_401.x11549": (401, AuthenticationError),
    "error_404.b11434": (404, EndpointNotFound),
    "error_501_embeddings.b11434": (501, NotSupported),
    "error_501_infill.b11434": (501, NotSupported),
    "error_501_metrics.b11434": (501, NotSupported),
    "error_501_rerank.b11434": (501, NotSupported),
    "error_501_slot_save.b11434": (501, NotSupported),
    "error_501_slots.b11434": (501, NotSupported),
    "error_503_loading.b11434": (503, ServerLoading),
    "error_503_loading.x11549": (503, ServerLoading),
    "error_503_no_slot.b11434": (503, ServerBusy),
    "error_image.b11434": (500, GenerationError),
    "error_invalid_json.b11434": (400, InvalidRequest),
}


def response(status: int, body: bytes, **headers: str) -> httpx.Response:
    return httpx.Response(status, content=body, headers=headers, request=httpx.Request("POST", URL))


# -- captured bodies ------------------------------------------------------------------------


def test_every_captured_error_is_tested() -> None:
    assert {path.stem for path in CAPTURES.glob("error_*.txt")} == set(CAPTURED)


@pytest.mark.parametrize("name", CAPTURED)
def test_captured_error_has_its_class_and_the_servers_words(name: str) -> None:
    status, cls = CAPTURED[name]
    report = json.loads(capture(name))["error"]

    error = error_from_response(response(status, capture(name)))

    assert type(error) is cls
    assert error.status == report["code"] == status
    assert error.type == report["type"]
    assert error.message == report["message"]


@pytest.mark.parametrize("name", sorted(set(CAPTURED) - {n for n in CAPTURED if "context" in n}))
def test_text_of_a_captured_error_holds_words_status_and_address(name: str) -> None:
    status, _ = CAPTURED[name]
    error = error_from_response(response(status, capture(name)))

    assert error.message in str(error)
    assert f"HTTP {status}" in str(error)
    assert URL in str(error)


@pytest.mark.parametrize("name", CAPTURED)
def test_status_inside_the_body_serves_where_there_is_no_other(name: str) -> None:
    status, cls = CAPTURED[name]

    error = error_from_body(json.loads(capture(name)))

    assert (type(error), error.status) == (cls, status)


# -- context overflow -----------------------------------------------------------------------

OVERFLOW = "request (619 tokens) exceeds the available context size (512 tokens), try increasing it"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(json.loads(capture("error_400_context.b11434")), id="as captured"),
        pytest.param({"error": {"code": 400, "message": OVERFLOW}}, id="numbers in the words only"),
        pytest.param({"error": OVERFLOW}, id="a plain string"),
        pytest.param(OVERFLOW, id="no object at all"),
        pytest.param({"error": {"message": OVERFLOW, "n_ctx": 512}}, id="one number is missing"),
        pytest.param(
            {"error": {"type": "exceed_context_size_error", "n_prompt_tokens": 619, "n_ctx": 512}},
            id="numbers in the fields only",
        ),
    ],
)
def test_context_overflow_knows_both_numbers_and_a_remedy(body: object) -> None:
    error = error_from_body(body, 400)

    assert isinstance(error, ContextOverflow)
    assert (error.n_prompt_tokens, error.n_ctx) == (619, 512)
    assert "619" in str(error)
    assert "512" in str(error)
    assert "context_len" in str(error)


def test_context_overflow_without_numbers_is_one_nevertheless() -> None:
    body = {"error": {"code": 400, "message": "too long", "type": "exceed_context_size_error"}}

    error = error_from_body(body)

    assert isinstance(error, ContextOverflow)
    assert (error.n_prompt_tokens, error.n_ctx) == (None, None)
    assert "context_len" in str(error)


def test_absurdly_long_numbers_are_not_read() -> None:
    many = "9" * 5000

    error = error_from_body(OVERFLOW.replace("619", many), 400)

    assert type(error) is InvalidRequest


# -- other bodies ---------------------------------------------------------------------------

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>\r\n"


@pytest.mark.parametrize(
    ("status", "body", "cls", "words"),
    [
        pytest.param(502, HTML, GenerationError, "502 Bad Gateway", id="page of a proxy"),
        pytest.param(404, HTML, EndpointNotFound, "<html>", id="page for a wrong address"),
        pytest.param(403, b"Forbidden", AuthenticationError, "Forbidden", id="403"),
        pytest.param(429, b'{"error":{"message":"slow down"}}', ServerBusy, "slow down", id="429"),
        pytest.param(503, b"try later", ServerBusy, "try later", id="503 in words"),
        pytest.param(503, b"Loading model", ServerLoading, "Loading", id="loading in words"),
        pytest.param(500, b"", GenerationError, "Internal Server Error", id="no body"),
        pytest.param(500, b'"plain"', GenerationError, "plain", id="a JSON string"),
        pytest.param(400, b'{"error":"plain"}', InvalidRequest, "plain", id="a plain error"),
        pytest.param(422, b'{"detail":[{"loc":["body"]}]}', InvalidRequest, "detail", id="422"),
        pytest.param(418, b"[1]", GenerationError, "[1]", id="unknown status"),
        pytest.param(500, b'{"error":null}', GenerationError, "None", id="null"),
        pytest.param(500, "Zürich".encode("latin-1"), GenerationError, "Z\ufffdrich", id="latin"),
    ],
)
def test_body_of_another_shape_keeps_its_words(
    status: int, body: bytes, cls: type[HTTPStatusError], words: str
) -> None:
    error = error_from_response(response(status, body))

    assert type(error) is cls
    assert error.status == status
    assert words in error.message
    assert words in str(error)


def test_long_page_is_shortened() -> None:
    error = error_from_response(response(502, b"<p>" * 100_000))

    assert len(str(error)) < 1000


def test_charset_of_the_answer_cannot_break_the_error() -> None:
    error = error_from_response(response(502, b"zz", **{"content-type": "text/html; charset=hex"}))

    assert error.message == "zz"


def test_password_of_the_address_is_not_shown() -> None:
    request = httpx.Request("POST", "http://me:secret@localhost/completion")

    error = error_from_response(httpx.Response(500, content=b"no", request=request))

    assert "http://localhost/completion" in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "api_key"),
        (403, "api_key"),
        (404, "base URL"),
        (429, "more slots"),
        (503, "more slots"),
    ],
)
def test_message_names_the_remedy(status: int, remedy: str) -> None:
    assert remedy in str(error_from_response(response(status, b"no")))


def test_message_of_a_loading_server_names_the_remedy() -> None:
    error = error_from_response(response(503, capture("error_503_loading.b11434")))

    assert "/health" in str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "type", "message", "n_ctx", "n_prompt_tokens"]), inner
        )
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(JSON, st.integers(400, 599))
def test_any_body_becomes_an_error_with_the_status(body: object, status: int) -> None:
    error = error_from_body(body, status)

    assert error.status == status
    assert isinstance(error.message, str)


# -- broken connections ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "before", "during"),
    [
        (httpx.ConnectTimeout("x"), RequestTimeout, RequestTimeout),
        (httpx.ReadTimeout("x"), RequestTimeout, RequestTimeout),
        (httpx.WriteTimeout("x"), RequestTimeout, RequestTimeout),
        (httpx.ConnectError("refused"), ServerUnreachable, ServerUnreachable),
        (httpx.RemoteProtocolError("gone"), ServerUnreachable, StreamInterrupted),
        (httpx.ReadError(""), ServerUnreachable, StreamInterrupted),
        (httpx.WriteError("x"), ServerUnreachable, StreamInterrupted),
        (httpx.DecodingError("x"), ProtocolError, ProtocolError),
        (httpx.UnsupportedProtocol("x"), ConfigError, ConfigError),
        (httpx.InvalidURL("x"), ConfigError, ConfigError),
        (httpx.LocalProtocolError("x"), ConfigError, ConfigError),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_broken_connection_has_its_class(
    cause: Exception, before: type[RocmError], during: type[RocmError], streaming: bool
) -> None:
    with (
        pytest.raises(RocmError) as caught,
        translated("http://there", Timeouts(), streaming=streaming),
    ):
        raise cause

    assert type(caught.value) is (during if streaming else before)


@pytest.mark.parametrize(
    ("cause", "streaming", "phase", "seconds"),
    [
        (httpx.ConnectTimeout("x"), False, "connect", "1.5"),
        (httpx.ReadTimeout("x"), False, "first_token", "2.5"),
        (httpx.WriteTimeout("x"), False, "first_token", "2.5"),
        (httpx.ReadTimeout("x"), True, "idle", "3.5"),
    ],
)
def test_timeout_names_its_phase_its_limit_and_the_address(
    cause: Exception, streaming: bool, phase: str, seconds: str
) -> None:
    limits = Timeouts(connect=1.5, first_token=2.5, idle=3.5)

    with (
        pytest.raises(RequestTimeout) as caught,
        translated("http://there", limits, streaming=streaming),
    ):
        raise cause

    assert caught.value.phase == phase
    assert f"timeouts.{phase}" in str(caught.value)
    assert f"{seconds} s" in str(caught.value)
    assert "http://there" in str(caught.value)


def test_unfit_header_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught, translated("x", Timeouts(), streaming=False):
        raise httpx.LocalProtocolError("Illegal header value b'Bearer secret'")

    assert "secret" not in str(caught.value)


# -- the tree -------------------------------------------------------------------------------

CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, RocmError) and cls.__module__ == errors.__name__
]


def made(cls: type[RocmError]) -> RocmError:
    """An error of this class with every field set."""
    if issubclass(cls, ServerError):
        return cls("words", returncode=-9, command=("llama-server", "-m"), log_tail=("a", "b"))
    if issubclass(cls, RequestTimeout):
        return cls("words", phase="idle")
    if issubclass(cls, ContextOverflow):
        return cls("words", n_prompt_tokens=619, n_ctx=512, status=400, type="t", message="said")
    if issubclass(cls, HTTPStatusError):
        return cls("words", status=400, type="t", message="said")
    return cls("words")


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_error_keeps_class_text_and_fields(cls: type[RocmError], protocol: int) -> None:
    error = made(cls)

    back = pickle.loads(pickle.dumps(error, protocol))

    assert type(back) is cls
    assert str(back) == str(error)
    assert repr(back) == repr(error)
    assert back.args == error.args
    assert vars(back) == vars(error)


@pytest.mark.parametrize("cls", CLASSES)
def test_copied_error_keeps_text_and_fields(cls: type[RocmError]) -> None:
    error = made(cls)

    for back in (copy.copy(error), copy.deepcopy(error)):
        assert (type(back), str(back), vars(back)) == (cls, str(error), vars(error))


def test_process_error_shows_its_evidence() -> None:
    tail = [f"line {number}" for number in range(20)]

    text = str(ServerError("it died", returncode=1, command=["llama-server"], log_tail=tail))

    assert text.startswith("it died\nCommand: llama-server\n")
    assert "line 19" in text
    assert "line 7" not in text


def test_errors_are_also_the_built_in_kind_they_resemble() -> None:
    assert issubclass(ConfigError, ValueError)
    assert issubclass(errors.InvalidGGUF, ValueError)
    assert issubclass(errors.ModelNotFound, FileNotFoundError)
    assert issubclass(ServerUnreachable, ConnectionError)
    assert issubclass(RequestTimeout, TimeoutError)
    assert issubclass(ServerStalled, TimeoutError)


def test_drawing_in_the_docstring_shows_the_tree_as_it_is() -> None:
    assert errors.__doc__ is not None
    parents: list[type[RocmError]] = []
    drawn = {RocmError}
    for line in errors.__doc__.splitlines():
        if branch := re.match(r"    ([ │├└─]*)([A-Z]\w+)(  .*)?$", line):
            cls = getattr(errors, branch[2])
            depth = len(branch[1]) // 3
            parents[depth:] = [cls]
            if depth:
                assert cls.__bases__[0] is parents[depth - 1], line
            drawn.add(cls)

    assert drawn == set(CLASSES)
    assert issubclass(ClientError, RocmError)
