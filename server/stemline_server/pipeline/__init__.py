"""From the sound of a media to stems of the same rate, channels and length, around any engine."""

from stemline_server.pipeline.separate import PIPELINE_VERSION, separate
from stemline_server.pipeline.task import PipelineTask, Policy, Sink

__all__ = ["PIPELINE_VERSION", "PipelineTask", "Policy", "Sink", "separate"]
