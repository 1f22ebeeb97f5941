"""CPU time of imports and constructors, in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from statistics import median

from benchmarks.measuring import Tell, interleaved
from benchmarks.process import ROOT
from benchmarks.section import Section
from benchmarks.size import Size

IMPORTS = (
    "import rocm_core",
    "from rocm_core import Client",
    "from rocm_core import load_model",
    "import langchain_core.language_models",
    "from langchain_core.language_models import BaseChatModel",
    "import langchain_rocm",
    "from langchain_rocm import ChatRocm",
    "from langchain_openai import ChatOpenAI",
    "from langchain_ollama import ChatOllama",
    "from llama_index.core.llms.custom import CustomLLM",
    "import llama_index_rocm",
    "from llama_index_rocm import RocmLLM",
    "from llama_index.llms.openai_like import OpenAILike",
)
_URL = "base_url='http://127.0.0.1:9'"
_KEY = "api_key='none', model='any'"
CONSTRUCTORS = {
    "load_model(url)": ("from rocm_core import load_model", "load_model('http://127.0.0.1:9')"),
    "ChatRocm": ("from langchain_rocm import ChatRocm", f"ChatRocm({_URL})"),
    "ChatOpenAI": ("from langchain_openai import ChatOpenAI", f"ChatOpenAI({_URL}, {_KEY})"),
    "ChatOllama": ("from langchain_ollama import ChatOllama", f"ChatOllama({_URL}, model='any')"),
    "RocmLLM": ("from llama_index_rocm import RocmLLM", f"RocmLLM({_URL})"),
    "OpenAILike": (
        "from llama_index.llms.openai_like import OpenAILike",
        f"OpenAILike(api_base='http://127.0.0.1:9', {_KEY})",
    ),
}
_TIMED = "import time\nb = time.process_time()\n{}\nprint(1000 * (time.process_time() - b))"
_REPEATED = """{setup}
import time
costs = []
for _ in range({times} + 1):
    b = time.process_time()
    {make}
    costs.append(1000 * (time.process_time() - b))
print(costs[0], sorted(costs[1:])[{times} // 2])
"""
_TIMES = 21


def imports(size: Size, tell: Tell) -> Section:
    """CPU ms of an import in an interpreter that has imported nothing."""
    present = [each for each in IMPORTS if _works(each, tell)]
    runs = {each: partial(_cpu, _TIMED.format(each)) for each in present}
    found = interleaved(runs, size.interpreters, lambda line: tell(f"imports: {line}"))
    rows = [{"name": f"`{each}`", "ms": median(found[each])} for each in present]
    return Section("imports", "Imports, CPU ms", {"ms": "CPU ms"}, rows, "ms")


def construction(size: Size, tell: Tell) -> Section:
    """CPU ms of the first object of a class, and of the ones after it."""
    rows = []
    for name, (setup, make) in CONSTRUCTORS.items():
        if not _works(setup, tell):
            continue
        code = _REPEATED.format(setup=setup, make=make, times=_TIMES)
        costs = [_output(code) for _ in range(size.interpreters)]
        first, later = (median(float(out.split()[n]) for out in costs) for n in (0, 1))
        rows.append({"name": name, "first": first, "later": later})
    columns = {"first": "first, CPU ms", "later": "later, CPU ms"}
    return Section("construction", "Constructors, CPU ms", columns, rows, "first")


def _works(statement: str, tell: Tell) -> bool:
    argv = [sys.executable, "-c", statement]
    works = subprocess.run(argv, check=False, cwd=ROOT, stderr=subprocess.DEVNULL)
    if works.returncode:
        tell(f"left out: {statement} (not installed)")
    return not works.returncode


def _cpu(code: str) -> float:
    return float(_output(code))


def _output(code: str) -> str:
    argv = [sys.executable, "-c", code]
    return subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
