"""What every test needs before anything is imported: one thread for the linear algebra, UTC, no telemetry."""

from __future__ import annotations

import os
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
for _name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "BENTOML_DO_NOT_TRACK"):
    os.environ[_name] = "true"
os.environ["GX_ANALYTICS_ENABLED"] = "false"
os.environ["TZ"] = "UTC"
time.tzset()
