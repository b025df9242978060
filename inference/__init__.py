"""What runs inside the endpoint container. No TensorFlow.

The four functions of SageMaker's inference toolkit are attributes of this package, because the
toolkit imports a module named ``inference``. They are loaded when they are first asked for:
importing the package loads nothing else, and the server needs no toolkit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.toolkit import input_fn, model_fn, output_fn, predict_fn

__all__ = ["input_fn", "model_fn", "output_fn", "predict_fn"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from inference import toolkit

    return getattr(toolkit, name)
