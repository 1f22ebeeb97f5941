"""Conversations as a model's own chat template takes them.

    fit (``ChatTemplate``: fit messages, count prompts)
      ├──▶ parts         lists of texts become strings
      ├──▶ tool_turns    calls and results: call_ids, calls as text, one call a turn
      ├──▶ roles         which role may follow which
      ├──▶ countable     pieces of a conversation become whole
      ├──▶ probe         what a template does with markers
      ├──▶ first_use     one request at a time asks the server
      ├──▶ variables/    what it reads about thinking, and the date
      └──▶ enforcement   whether answers are held to a schema, and the way if not

Templates are programs, and only running one shows what it does with a conversation: the server
renders probes (``POST /apply-template``), each once for a model, and only when a conversation has
what the probe asks about.
"""

from rocm_core.model.template.fit import ChatTemplate, MessagesFor
from rocm_core.model.template.roles import Conversation

__all__ = ["ChatTemplate", "Conversation", "MessagesFor"]
