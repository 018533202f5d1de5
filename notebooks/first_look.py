# %% [markdown]
# # A first look at a trained model
#
# What was judged, what the model reads, and one lead's reasons. Run `clew demo` first, then
# `export CLEW_HOME=var/demo CLEW_MLRUNS=var/demo/mlruns`.

# %%
import json

import pandas as pd

from data.clock import parse_moment, to_us
from data.settings import load_settings
from data.warehouse import Warehouse
from features.snapshots import open_leads
from features.sql import compute_features
from training.bundles.bundle import Bundle, pointed_bundle
from training.run import frames

settings = load_settings()
warehouse = Warehouse(settings.warehouse_dir)
folder = pointed_bundle(settings.bundles_dir)
assert folder is not None, "no bundle is promoted yet: run `clew train`"
bundle = Bundle.load(folder)

# %% [markdown]
# ## The scoreboard
# Every figure with its interval, and the paired difference to the model.

# %%
told = json.loads(next((settings.home / "runs").glob("*/scoreboard.json")).read_text("utf-8"))
board = pd.DataFrame(told["rows"])
board[board["group"] == "all"].pivot_table(index="method", columns="metric", values="value", sort=False).round(4)

# %% [markdown]
# ## Grades, and what the judged leads in them really did

# %%
pd.DataFrame([grade.model_dump() for grade in bundle.grades]).round(4)

# %% [markdown]
# ## Today's open leads
# The features as they were known at the cutoff, and the share of leads for which each is missing.

# %%
as_of_us = to_us(parse_moment(str(bundle.manifest["cutoff"])))
with warehouse.connect(threads=settings.query_threads) as connection:
    count = open_leads(connection, as_of_us=as_of_us, goal=str(bundle.manifest["goal"]))
    rows = frames(compute_features(connection, bundle.catalogue), bundle.catalogue)
missing = rows.frame.isna().mean().sort_values(ascending=False).head(10)
missing

# %% [markdown]
# ## One lead's reasons
# The contributions of the feature groups and the base add up to the log-odds.

# %%
logit = bundle.full.logit(bundle.full.model.encoding.tree_matrix(rows.frame))
best = int(logit.argmax())
answer = bundle.answer_values({str(name): value for name, value in rows.frame.iloc[best].items()})
reasons = pd.Series(dict(answer.groups)).sort_values(key=abs, ascending=False)
assert abs(answer.base_logit + reasons.sum() - answer.logit) < 1e-6
reasons.head(10).round(3)
