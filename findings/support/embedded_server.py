"""Start the server of the wheel ``xllamacpp`` inside this process, and ask it.

    server = EmbeddedServer("model.gguf", chat_template="…")
    status, answer = server.ask("/v1/chat/completions", {"messages": […]})

End the program with ``os._exit``: the server's threads live until then.
"""

import xllamacpp
from llama_server import Asking


class EmbeddedServer(Asking):
    """A server on loopback as long as this process lives.

    Args:
        model: the file of the model.
        chat_template: the text of a template, else the file's own.
        embedding: for ``/v1/embeddings``.
    """

    def __init__(self, model: str, chat_template: str = "", embedding: bool = False) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = model
        params.n_ctx, params.n_parallel, params.port = 1024, 1, 0
        params.hostnames = ["127.0.0.1"]
        params.chat_template, params.embedding = chat_template, embedding
        self._server = xllamacpp.Server(params)
        super().__init__(self._server.listening_address)
