"""What a server does with the options that a request leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rocm_core.errors import ConfigError

if TYPE_CHECKING:
    from rocm_core.adapter.options import RocmOptions
else:  # a further pydantic class would take time at each import
    RocmOptions = object


class ServerDefaults(RocmOptions):
    """To inherit before the options: the server's own values of them."""

    def get_server_defaults(self) -> dict[str, Any]:
        """Return the server's value of each option that is not given; it starts if it must.

        The model's file may bring values of its own (``general.sampling.*``), and a router's
        settings others. The names are llama-server's: ``temperature``, ``top_k``, …, ``n_ctx``.

        Raises:
            ConfigError: the server does not tell them (``GET /props``).
            RocmError: it cannot be started or reached, or a limit passes.
        """
        self._load()
        return self._told_defaults()

    async def aget_server_defaults(self) -> dict[str, Any]:
        """``get_server_defaults`` for asyncio."""
        await self._aload()
        return self._told_defaults()

    def _told_defaults(self) -> dict[str, Any]:
        props = self.text_model.props
        if props is None or not (found := props.generation_defaults()):
            raise ConfigError(
                "this server does not tell its defaults: it has no GET /props. llama-server has."
            )
        return found

    async def _aload(self) -> None:
        await (await self._amodel()).aload()
