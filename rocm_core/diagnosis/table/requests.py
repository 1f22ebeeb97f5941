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
            "parser error: ",
            "lexer error: ",
        ),
        r"failed to (?:initialize|apply) chat template|supplied chat template is not supported"
        r"|chat template parsing error|failed to parse (?:tool use )?chat template"
        r"|Unable to generate parser for this template"
        r"|\bExpected [\w' ]+ at row \d|Parse error\. Expected"
        r"|Parser Error: (?:Expected|Unexpected|Unknown)|Lexer Error: ",
        "the chat template cannot be used: it does not parse, or calls what this build lacks",
        "correct chat_template=; without it the template in the model file is used; a newer "
        "llama.cpp build knows more of Jinja; chat_template='chatml' works for most models",
        "common/chat.cpp, common/arg.cpp, #20733, containers/ramalama#1857",
        over=("bad_argument",),
    ),
)

REQUEST: tuple[KnownFailure, ...] = (
    KnownFailure(
        "answer_not_parsed",
        (
            "failed to parse input at pos",
            "invalid diff: ",
            "tool call mismatch: prev=",
            "produced output that does not match",
        ),
        r"Failed to parse input at pos \d+|Invalid diff: (?:'|now finding|tool call)"
        r"|Tool call mismatch: prev=|model produced output that does not match the expected",
        "the server cannot take the model's answer apart into text and tool calls: the model wrote "
        "another form than its chat template has, or the build's parser has a fault",
        "use a newer llama.cpp build and a corrected template; a larger quantization writes tool "
        "calls more reliably",
        "common/chat.cpp, #13876, #20532, #23838",
        ends=False,
    ),
    KnownFailure(
        "bad_tool_arguments",
        ("failed to parse tool call arguments",),
        r"Failed to parse tool call arguments as JSON",
        "the conversation holds a tool call whose arguments are no JSON, such as one that was cut",
        "leave that message out of the history, or correct its arguments; allow answers more "
        "tokens (max_tokens)",
        "common/chat.cpp, #25510",
        ends=False,
    ),
    KnownFailure(
        "image_without_mmproj",
        (
            "input is not supported - hint",
            "not compiled for multimodal",
            "multimodal data provided",
            "does not support audio input",
            "does not support vision input",
        ),
        r"(?P<what>image|audio) input is not supported - hint|not compiled for multimodal"
        r"|Multimodal data provided, but model does not support"
        r"|model does not support (?P<kind>audio|vision) input",
        "a request has an image or a sound, and the server has no projector for it",
        "load the projector that belongs to the model (mmproj=), or send text only",
        "tools/server, #8595, mozilla-ai/llamafile#298",
        ends=False,
    ),
    KnownFailure(
        "kv_cache_full",
        (
            "failed to decode the batch",
            "could not find a kv cache slot",
            "free space in the kv cache",
            "failed to decode, ret = 1",
            "llama_decode returned 1",
            "decode error 1",
            "nokvslot",
            "nokvcacheslot",
            "find a kv slot",
            "decode: failed to find a memory slot",
        ),
        r"failed to decode the batch|could not find a kv cache slot"
        r"|free space in the KV cache.*n_batch = [1-4]\b"
        r"|failed to decode, ret = 1\b|llama_decode returned 1\b|Decode Error 1\b"
        r"|\bNoKv(?:Cache)?Slot\b|find a KV slot|decode: failed to find a memory slot",
        "the KV cache has no room for what the requests have grown to",
        "raise context_len (parallel slots share it), lower parallel, or shorten the prompts",
        "tools/server/server-context.cpp, #4185, ollama/ollama#10127",
        ends=False,
    ),
    KnownFailure(
        "batch_refused",
        (
            "invalid input batch",
            "failed to decode, ret = -1",
            "llama_decode returned -1",
            "decode error -1",
            "inconsistent sequence positions",
            "failed to initialize batch",
            "has neither a token id nor an embedding",
            "invalid token[",
            "invalid seq_id",
            "positions are not continuous",
        ),
        r"Invalid input batch|failed to decode, ret = -1\b|llama_decode returned -1\b"
        r"|Decode Error -1\b|inconsistent sequence positions|failed to initialize batch"
        r"|has neither a token id nor an embedding|invalid token\[\d+\] ="
        r"|invalid seq_id(?:\[|, \d)|positions are not continuous",
        "llama.cpp refuses the batch that the program around it made (empty, or with tokens or "
        "positions that do not follow on what is cached): a fault of that program",
        "use a newer build of it; until then start the conversation again, or do without what "
        "reuses earlier tokens (cache_prompt=False, speculative decoding, several slots)",
        "llama-batch.cpp, llama.h (llama_decode), #17316, eullm/eullm#214",
        ends=False,
    ),
    KnownFailure(
        "no_logits",
        ("invalid logits id", "invalid embeddings id", "reason: no logits", "no embeddings"),
        r"invalid (?P<what>logits|embeddings) id|reason: no (?P<none>logits|embeddings)",
        "a result was asked for that was not computed ({what}): an embedding or reranking model "
        "was asked to write text (or the reverse), or drafting has a fault",
        "use a model of the kind that the request is for (--embeddings, --reranking); leave the "
        "draft model out; use a newer llama.cpp build",
        "llama-context.cpp, #7386, gpustack/gpustack#1455",
        ends=False,
    ),
    KnownFailure(
        "compute_failed",
        (
            "failed to decode, ret = -",
            "llama_decode returned -",
            "decode error -",
            "compute error.",
            "failed to compute graph",
            "graph_compute_async failed",
            "compute failed while preparing",
        ),
        r"failed to decode, ret = -[2-9]|llama_decode returned -[2-9]|Decode Error -[2-9]"
        r"|\bCompute error\.|failed to compute graph|graph_compute_async failed"
        r"|compute failed while preparing",
        "the device could not compute a step: it failed, or had no memory left for it",
        "lower context_len, the batch (extra_args=['-ub', '256']) or gpu_layers; the lines before "
        "may name the back end's error; gpu_layers=0 tells whether the GPU is at fault",
        "llama-context.cpp (llama_decode: -2 memory, -3 computing), tools/server",
        ends=False,
    ),
    KnownFailure(
        "endpoint_off",
        ("this server does not support",),
        r"This server does not support (?P<what>embeddings|metrics|slots|rerank\w*|infill)",
        "the server was started without what a request asks for: {what}",
        "start it for that: an embedding model for embeddings, a reranker for reranking, "
        "--metrics and --slots in extra_args",
        "tools/server/server-context.cpp",
        ends=False,
    ),
    KnownFailure(
        "answer_rejected",
        ("responsevalidationerror",),
        r"ResponseValidationError",
        "the Python server rejects the answer that it made itself: a fault of its version, or of "
        "FastAPI beside it",
        "update the binding (llama-cpp-python) and FastAPI, or use llama-server",
        "JamePeng/llama-cpp-python#113",
        ends=False,
    ),
    KnownFailure(
        "template_refuses",
        (
            "jinja exception",
            "is not callable",
            "cannot subscript",
            "callee is not a function",
            "unknown (built-in)",
            " at row ",
            "must be at the beginning",
            "roles must alternate",
            "with jinja template",
            "template application failed: ",
            "unknown test: ",
            "value filter: ",
            "unknown filter",
        ),
        r"Jinja Exception: *(?P<what>[^\\\"]*)|Value is not callable|Cannot subscript \w+"
        r"|Callee is not a function|Unknown \(built-in\) (?:filter|function|method)"
        r"| at row \d+, column \d+:|Error rendering prompt with jinja template"
        r"|Template application failed: \S|Unknown (?:test: \w|\w*value filter: \w|filter)"
        # Not the template itself, which a server prints when it starts.
        r"|(?<!raise_exception\(['\"])system message must be at the beginning"
        r"|(?<!raise_exception\(['\"]Conversation )roles must alternate",
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
            "too big compared to kv size",
            "is greater than the context",
            "when context overflows",
            "maximum context length",
            "prompt is too long",
        ),
        r"(?:request(?: \((?P<what>\d+ tokens)\))?|decoding|input) "
        r"exceeds the (?:available )?context"
        r"|exceed_context_size_error|Requested tokens (?:\(\d+\) )?exceed context window"
        r"|Context size has been exceeded|context shift is disabled"
        r"|input(?: \(\d+ tokens\))? is too large to process|input length exceeds the context"
        r"|too big compared to KV size|is greater than the context length"
        r"|when context overflows|maximum context length|prompt is too long",
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
            "json schema",
        ),
        r"failed to parse grammar|error parsing grammar|Failed to initialize samplers"
        r"|Unexpected empty grammar stack|error initializing grammar sampler"
        r"|JSON schema (?:conversion failed|error at)",
        "the server cannot use the grammar that it made of a schema, or that a request gave",
        "simplify the schema (long repetitions, patterns), check grammar=, or use a newer "
        "llama.cpp build",
        "llama-grammar.cpp, #11866, #22396, #23775",
        ends=False,
    ),
)
