"""Failures of one request, and of the chat template that shapes it."""

from __future__ import annotations

from rocm_core.diagnosis.table.row import KnownFailure

TEMPLATE: tuple[KnownFailure, ...] = (
    KnownFailure(
        "bad_chat_template",
        (
            "chat template",
            "generate parser for this template",
            " at row ",
            "parse error. expected",
        ),
        r"failed to initialize chat template|supplied chat template is not supported"
        r"|chat template parsing error|failed to parse (?:tool use )?chat template"
        r"|Unable to generate parser for this template"
        r"|\bExpected [\w' ]+ at row \d|Parse error\. Expected",
        "the chat template cannot be used: it does not parse, or calls what this build lacks",
        "correct chat_template=; without it the template in the model file is used; a newer "
        "llama.cpp build knows more of Jinja; chat_template='chatml' works for most models",
        "common/chat.cpp, common/arg.cpp, #20733, containers/ramalama#1857",
        over=("bad_argument",),
    ),
)

REQUEST: tuple[KnownFailure, ...] = (
    KnownFailure(
        "template_refuses",
        (
            "jinja exception",
            "is not callable",
            "cannot subscript",
            "callee is not a function",
            "unknown (built-in)",
            "raise_exception(",
            "must be at the beginning",
            "roles must alternate",
        ),
        r"Jinja Exception: *(?P<what>[^\\\"]*)|Value is not callable|Cannot subscript \w+"
        r"|Callee is not a function|Unknown \(built-in\) (?:filter|function|method)"
        r"|\{\{-? *raise_exception\("
        r"|(?:system message must be at the beginning|roles must alternate)",
        "the model's chat template refuses this conversation, or calls what this build lacks",
        "use a newer llama.cpp build, or a corrected template (chat_template=FILE)",
        "common/jinja, #13178, #20733",
        ends=False,
    ),
    KnownFailure(
        "prompt_too_long",
        (
            "exceeds the available context",
            "exceed_context_size_error",
            "exceed context window",
            "context size has been exceeded",
            "context shift is disabled",
            "exceeds context",
            "is too large to process",
            "exceeds the context",
        ),
        r"(?:request(?: \((?P<what>\d+ tokens)\))?|decoding|input) "
        r"exceeds the (?:available )?context"
        r"|exceed_context_size_error|Requested tokens (?:\(\d+\) )?exceed context window"
        r"|Context size has been exceeded|context shift is disabled"
        r"|input(?: \(\d+ tokens\))? is too large to process",
        "a prompt is longer than the context of one slot",
        "raise context_len (it is shared by parallel slots), or shorten the prompt; for "
        "embedding and reranking raise the batch (batch_size, extra_args=['-ub', …])",
        "tools/server/server-context.cpp, #15780, oobabooga/textgen#7257",
        ends=False,
    ),
    KnownFailure(
        "bad_grammar",
        (
            "parse grammar",
            "parsing grammar",
            "initialize samplers",
            "grammar stack",
            "grammar sampler",
        ),
        r"failed to parse grammar|error parsing grammar|Failed to initialize samplers"
        r"|Unexpected empty grammar stack|error initializing grammar sampler",
        "the server cannot use the grammar that it made of a schema, or that a request gave",
        "simplify the schema (long repetitions, patterns), check grammar=, or use a newer "
        "llama.cpp build",
        "llama-grammar.cpp, #11866, #22396, #23775",
        ends=False,
    ),
)
