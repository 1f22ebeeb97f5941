"""One page of the metrics of all replicas."""

from __future__ import annotations

from typing import Any

from rocm_core.scale.prometheus import page

PRINTED = """\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 10
llamacpp:labeled{slot="0"} 1.5e3
"""


def status(replica: str, metrics: str = PRINTED) -> dict[str, Any]:
    counted = {"ready": True, "slots": 4, "requests": 2, "restarts": 0}
    return {"replica": replica, "metrics": metrics, **counted}


def test_each_sample_says_whose_it_is() -> None:
    lines = page({"demo": [status("r1"), status("r2")]}).splitlines()
    assert 'llamacpp:prompt_tokens_total{model="demo",replica="r1"} 10' in lines
    assert 'llamacpp:labeled{model="demo",replica="r2",slot="0"} 1.5e3' in lines
    assert 'llama_rocm_replica_requests{model="demo",replica="r2"} 2' in lines


def test_a_family_is_described_once_and_stands_together() -> None:
    lines = page({"demo": [status("r1"), status("r2")]}).splitlines()
    at = lines.index("# TYPE llamacpp:prompt_tokens_total counter")
    assert lines.count("# TYPE llamacpp:prompt_tokens_total counter") == 1
    assert all(line.startswith("llamacpp:prompt_tokens_total{") for line in lines[at + 1 : at + 3])


def test_a_replica_without_a_server_is_counted() -> None:
    text = page({"demo": [status("r1", metrics="") | {"ready": False}]})
    assert 'llama_rocm_replica_ready{model="demo",replica="r1"} 0' in text


def test_names_are_escaped() -> None:
    assert 'model="a\\"b"' in page({'a"b': [status("r")]})
