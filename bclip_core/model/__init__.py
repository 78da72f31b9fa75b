"""The model, what flows through it, and the catalogue of methods."""

from bclip_core.model.bclip import (
    BClip,
)
from bclip_core.model.calibration import TokenCalibration
from bclip_core.model.features import (
    Features,
    Reading,
    TextBatch,
)
from bclip_core.model.heads import (
    Heads,
    HeadsSpec,
)
from bclip_core.model.methods import (
    METHODS,
    Method,
    Parts,
    Plan,
    get_method,
    register,
    resolve,
)
from bclip_core.model.terms import (
    TERMS,
    LossTerm,
    Term,
)

__all__ = [
    "BClip",
    "Features",
    "Heads",
    "HeadsSpec",
    "LossTerm",
    "METHODS",
    "Method",
    "Parts",
    "Plan",
    "Reading",
    "TERMS",
    "Term",
    "TextBatch",
    "TokenCalibration",
    "get_method",
    "register",
    "resolve",
]
