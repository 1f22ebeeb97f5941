#!/usr/bin/env bash
# xllamacpp.json_schema_to_grammar is documented to convert a JSON schema to a llama.cpp grammar. The
# wheel is built with LLGuidance, so the function wraps the schema in two lines and converts nothing:
# no rule, no check.
#
#   expected   GBNF rules that begin with "root ::=", as llama.cpp's own converter writes, and an
#              error for a type that JSON Schema does not have
#   seen       two lines of LLGuidance's own syntax with the schema behind them, for nonsense too
#
# Versions: xllamacpp 2026.10.11549.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet xllamacpp==2026.10.11549
"$work/venv/bin/python" - <<'PY'
import xllamacpp

grammars = [xllamacpp.json_schema_to_grammar({"type": kind}) for kind in ("integer", "nonsense")]
for grammar in grammars:
    print(repr(grammar))
same = all(grammar.startswith("%llguidance {}\nstart: %json {") for grammar in grammars)
raise SystemExit(0 if same else "the behavior has changed")
PY
