"""Training, from a configuration to a finished run."""

from bclip_core.train.loop import train
from bclip_core.train.run import Run, find
from bclip_core.train.start import create_model
from bclip_core.train.step import NonFiniteLossError, NonFiniteWeightsError

__all__ = ["NonFiniteLossError", "NonFiniteWeightsError", "Run", "create_model", "find", "train"]
