"""The class ``RocmDecisions``; imported through the package, which needs no langchain-core 1.8."""

from __future__ import annotations

from langchain_core.decisions import BaseDecisionModel, ClassifierResponse
from langchain_core.decisions import Question as LangChainQuestion
from langchain_core.decisions.types import State
from langchain_core.runnables import RunnableConfig
from pydantic import Field

from langchain_rocm.conversion.decisions import core_question, request_state, response_fields
from langchain_rocm.errors import model_errors
from langchain_rocm.options import ServedOptions
from langchain_rocm.streaming.chunks import PROVIDER
from rocm_core import Decision
from rocm_core.decisions import Origin, Question


class RocmDecision(ClassifierResponse):
    """LangChain's response, and who answered."""

    origin: Origin = "decision model"
    """``decision model``; or ``constrained token``: probabilities of one token of any other model,
    calibrated on nothing."""


class RocmDecisions(ServedOptions, BaseDecisionModel, defer_build=False):
    """Answers typed questions about text, messages or JSON, each with probabilities.

        decisions = RocmDecisions(model="path/to/openjev.gguf")
        router = ModelRouterMiddleware(choices={…}, instructions="…", classifier=decisions)

    A decision model (its file has the key ``<architecture>.decision.type``) answers all questions
    in one forward pass, without generating a token. Any other model answers each one by a single
    token that may be nothing but the label of an option; ``response.origin`` tells which it was.
    Confidences are computed as llama-server does it: of a choice, how far its probability is above
    that of equally likely options; of a score, by the mean distance from the likeliest level.

    Messages in the state are sent as JSON, as ``ChatRocm`` sends them; images (with their data) to
    decision models that see. Load options are those of ``rocm_core.LoadConfig``. The server starts
    at first use.

    Raises:
        langchain_rocm.errors.ConfigError: a question cannot be asked like this, or the state has
            media that cannot be sent.
        langchain_rocm.errors.NotSupported: ``calibrated``, and the model is no decision model.
        langchain_rocm.errors.EndpointNotFound: the build of llama-server is too old.
    """

    name: str | None = Field(default=None, description="Name of this runnable in traces.")
    calibrated: bool = Field(
        default=False,
        description="Whether only a decision model may answer: of any other model the "
        "probabilities of a token are calibrated on nothing.",
    )

    @property
    def _provider(self) -> str:
        return PROVIDER

    def _traced_config(self, config: RunnableConfig | None) -> RunnableConfig:
        config = super()._traced_config(config)
        config["metadata"]["ls_model_name"] = self.loaded_name()
        return config

    def _classify(
        self, state: State, questions: dict[str, LangChainQuestion]
    ) -> ClassifierResponse:
        with model_errors():
            given, images = request_state(state)
            asked = {name: core_question(name, each) for name, each in questions.items()}
            model = self.text_model
            decision = model.decide(given, asked, images=images, calibrated=self.calibrated)
            return self._response(decision, asked)

    async def _aclassify(
        self, state: State, questions: dict[str, LangChainQuestion]
    ) -> ClassifierResponse:
        with model_errors():
            given, images = request_state(state)
            asked = {name: core_question(name, each) for name, each in questions.items()}
            model = await self._amodel()
            decision = await model.adecide(given, asked, images=images, calibrated=self.calibrated)
            return self._response(decision, asked)

    def _response(self, decision: Decision, questions: dict[str, Question]) -> RocmDecision:
        fields = response_fields(decision, questions)
        return RocmDecision(model=decision.model or self.loaded_name(), **fields)
