"""Conversations as a model's own chat template takes them.

    fit (``ChatTemplate``: fit messages, count prompts)
      └──▶ roles (which orders of roles a template accepts, and how a conversation gets there)

Templates are programs, and only running one shows what it does with a conversation: the server
renders probes (``POST /apply-template``), each once for a model, and only when a conversation has
what the probe asks about.
"""

from rocm_core.model.template.fit import ChatTemplate, MessagesFor
from rocm_core.model.template.roles import Conversation

__all__ = ["ChatTemplate", "Conversation", "MessagesFor"]
