"""UniPortraitRecordRouting: keep what the router decides while pictures are sampled."""

from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from comfy_api.latest import io
from torch import Tensor

from ..uniportrait_core.errors import UniPortraitError
from ..uniportrait_core.routing_record import RoutingRecord
from .recording import KEY
from .sockets import CATEGORY, Routing, aliases
from .tap import KEY as TAP


class UniPortraitRecordRouting(io.ComfyNode):
    """Give a model with people a record of its routing."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitRecordRouting",
            display_name="Record Routing",
            category=CATEGORY,
            description="Between Apply ID Router and a sampler: records which person each spot of the picture goes to, "
            "for Routing Map. The picture stays the same.",
            inputs=[io.Model.Input("model", tooltip="From Apply ID Router, or from a node after it.")],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The same model, for one sampler."),
                Routing.Output(display_name="routing", tooltip="For Routing Map: what the last sampling recorded."),
            ],
            **aliases("uniportrait", "routing", "debug"),
        )

    @classmethod
    def execute(cls, model: ModelPatcher) -> io.NodeOutput:
        taps = model.get_wrappers(WrappersMP.APPLY_MODEL, TAP)
        if not taps:
            raise UniPortraitError(
                "The model at Record Routing has no people whose routing could be recorded. Connect the model of Apply "
                "ID Router, with id_scale above 0."
            )
        counts = {tap.people for tap in taps}
        if len(counts) > 1:
            found = " and ".join(map(str, sorted(counts)))
            raise UniPortraitError(
                f"The model at Record Routing has passed several Apply ID Router with {found} people, needed are as "
                "many in each. Connect the same face_id to all of them."
            )
        record, recording = RoutingRecord(), model.clone()
        for wrapper in (WrappersMP.OUTER_SAMPLE, WrappersMP.PREDICT_NOISE):  # another sampler's record stays as it is
            recording.remove_wrappers_with_key(wrapper, KEY)
        recording.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, _from_start_to_end(record))
        recording.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, KEY, _hand_over(record))
        return io.NodeOutput(recording, record)


def _from_start_to_end(record: RoutingRecord):
    def sample(executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
        record.clear()
        try:
            return executor(*args, **kwargs)
        finally:
            record.finish()

    return sample


def _hand_over(record: RoutingRecord):
    def predict(executor: WrapperExecutor, x: Tensor, timestep: Tensor, model_options=None, seed=None) -> Tensor:
        options = model_options or {}
        settings = {**options.get("transformer_options", {}), KEY: (record, len(x))}
        return executor(x, timestep, {**options, "transformer_options": settings}, seed)

    return predict
