"""Serving without the libraries of training, also where they are installed."""

from __future__ import annotations

import sys

__all__ = ["TRAINING_ONLY", "leave_out_training"]

TRAINING_ONLY = ("great_expectations", "matplotlib", "mlflow", "pandas", "shap", "sklearn")


def leave_out_training() -> None:
    """Make this process as lean as an endpoint that was installed without the extras.

    LightGBM imports scikit-learn and pandas wherever it finds them, which takes seconds and a hundred megabytes that no
    answer needs. A module that is None in `sys.modules` counts as not installed. Only for processes that do nothing but
    serve; modules that are loaded already stay.
    """
    for name in TRAINING_ONLY:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
