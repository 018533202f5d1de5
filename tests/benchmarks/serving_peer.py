"""The peer of the endpoint: an MLflow pyfunc that answers ready-made features with the five strongest reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["save_peer"]

_TOP = 5


def save_peer(folder: str, trees: str, names: list[str]) -> None:
    """Save a pyfunc of LightGBM trees (the path of their text) with a signature of 64-bit floats, as it should have."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import infer_signature

    class TopReasons(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined,misc]
        """Margin and the five largest contributions of each row."""

        def load_context(self, context: Any) -> None:
            import lightgbm

            self.booster = lightgbm.Booster(model_file=context.artifacts["trees"])

        def predict(self, context: Any, model_input: pd.DataFrame) -> list[dict[str, Any]]:
            del context
            found = np.asarray(self.booster.predict(model_input.to_numpy(), pred_contrib=True, num_threads=1))
            told = []
            for row in found:
                top = np.argsort(-np.abs(row[:-1]))[:_TOP]
                reasons = [{"feature": str(model_input.columns[k]), "logit": float(row[k])} for k in top]
                told.append({"margin": float(row.sum()), "reasons": reasons})
            return told

    example = pd.DataFrame(np.zeros((1, len(names))), columns=names)
    answer = [{"margin": 0.0, "reasons": [{"feature": "f", "logit": 0.0}]}]
    signature = infer_signature(example, answer)
    mlflow.pyfunc.save_model(folder, python_model=TopReasons(), artifacts={"trees": trees}, signature=signature)
