"""Write a decision model: the byte model with the keys that llama.cpp knows one by.

    python decision_model.py FILE [TEMPERATURE]

It is of the type ``openjev``: the logits of the letters A, B, … at the end of the prompt are the
scores of the options. TEMPERATURE divides those of score questions.
"""

import sys

import gguf
from byte_model import write

# What is asked about is the last that the model reads.
TEMPLATE = (
    "{{ instructions }}\n{% for option in options %}{{ option.key }}\n{% endfor %}{{ state }}"
)


def keys(writer: gguf.GGUFWriter, temperature: float = 1.0) -> None:
    """Add them."""
    writer.add_string("llama.decision.type", "openjev")
    writer.add_float32("llama.decision.temperature.score", temperature)
    writer.add_array("tokenizer.chat_templates", ["systemone"])
    writer.add_string("tokenizer.chat_template.systemone", TEMPLATE)


if __name__ == "__main__":
    scale = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    write(sys.argv[1], "gpt2", keys=lambda writer: keys(writer, scale))
