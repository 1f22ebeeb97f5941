#!/usr/bin/env bash
# LlamaIndex sends five keywords of the schema of a tool's arguments ("type", "properties", "required",
# "definitions", "$defs") and drops the others, whatever they say.
#
#   the model of the arguments                  its schema                       sent
#   one of two kinds (RootModel of a union)     anyOf: [Cat, Dog]                any object, or anything
#   a tree (a model that has itself)            $ref: Node                       the same
#   extra="forbid"                              additionalProperties: false      without it
#
# Versions: llama-index-core 0.14.25, ToolMetadata.get_parameters_dict and to_openai_tool. So the model
# never learns what a call must look like, and a grammar made of the schema allows everything.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet llama-index-core==0.14.25
"$work/venv/bin/python" - <<'PY'
import json

from llama_index.core.tools import ToolMetadata
from pydantic import BaseModel, ConfigDict, RootModel


class Cat(BaseModel):
    lives: int


class Dog(BaseModel):
    tricks: int


class Pet(RootModel[Cat | Dog]):
    pass


class Node(BaseModel):
    name: str
    children: list["Node"] = []


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str


lost = []
for model in (Pet, Node, Strict):
    full = model.model_json_schema()
    sent = ToolMetadata("A tool.", name="tool", fn_schema=model).get_parameters_dict()
    lost.append(sorted(full.keys() - sent.keys() - {"title"}))
    rest = {key: value for key, value in sent.items() if key != "$defs"}
    print(f"{model.__name__}: lost {lost[-1]}, sent besides $defs: {json.dumps(rest)}")
as_before = lost == [["anyOf"], ["$ref"], ["additionalProperties"]]
raise SystemExit(0 if as_before else "the behavior has changed")
PY
