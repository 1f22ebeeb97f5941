#!/usr/bin/env bash
# One vector of zeros in a SimpleVectorStore, the store that an index has by default, and the nodes that
# come back are not the best ones.
#
#   expected   an error, or similarity 0 for that node: the order of the others stays
#   seen       its similarity is NaN, with which the others cannot be sorted: asked for one node, the store
#              leaves out the one whose vector is the query itself (similarity 1); asked for two, the
#              zeros come first
#
# Versions: llama-index-core 0.14.25. Zeros are what some servers answer for what they cannot embed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet llama-index-core==0.14.25
"$work/venv/bin/python" - <<'PY'
import warnings

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import SimpleVectorStore, VectorStoreQuery

warnings.simplefilter("ignore")
QUERY = [1.0, 0.0]
NODES = {"the same": [1.0, 0.0], "zeros": [0.0, 0.0], "near": [0.9, 0.1]}


def best(names: list[str], number: int) -> list[str]:
    """Return the nodes that are most like the query, of these."""
    store = SimpleVectorStore()
    store.add([TextNode(id_=name, text=name, embedding=NODES[name]) for name in names])
    query = VectorStoreQuery(query_embedding=QUERY, similarity_top_k=number)
    return list(store.query(query).ids or [])


found = [best(names, number) for names in (["the same", "near"], list(NODES)) for number in (1, 2)]
print("the best one and the best two without zeros:", *found[:2])
print("the best one and the best two of all three: ", *found[2:])
as_before = found == [["the same"], ["the same", "near"], ["near"], ["zeros", "the same"]]
raise SystemExit(0 if as_before else "the behavior has changed")
PY
