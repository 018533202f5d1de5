# %% [markdown]
# # Reading one lead
#
# Why does this lead score as it does, how sure is that, and what would change it? The same functions answer the CRM.

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import shap

from data.clock import DAY_US, HOUR_US, from_us, iso, parse_moment, to_us
from data.settings import load_settings
from data.warehouse import Warehouse
from features.memory import EventFact, evaluate
from features.snapshots import open_leads
from features.sql import compute_features
from serving.scoring.facts import custom_kinds, to_facts
from serving.scoring.payload import parse_item
from serving.scoring.requests import request_of
from training.bundles.bundle import Bundle, pointed_bundle
from training.run import frames

settings = load_settings()
folder = pointed_bundle(settings.bundles_dir)
assert folder is not None, "no bundle is promoted yet: run `clew train`"
bundle = Bundle.load(folder)
as_of_us = to_us(parse_moment(str(bundle.manifest["cutoff"])))

# %% [markdown]
# ## Today's open leads
# Their features as they were known at the cutoff, computed in SQL. The lead to read is the one that scores highest; put
# any id in its place.

# %%
warehouse = Warehouse(settings.warehouse_dir)
with warehouse.connect(threads=settings.query_threads) as connection:
    count = open_leads(connection, as_of_us=as_of_us, goal=str(bundle.manifest["goal"]))
    rows = frames(compute_features(connection, bundle.catalogue), bundle.catalogue)
encoding = bundle.full.model.encoding
matrix = encoding.tree_matrix(rows.frame)
best = int(bundle.full.logit(matrix).argmax())
LEAD = str(rows.spine["lead_id"].iloc[best])

# %% [markdown]
# ## The answer
# From here on the lead is answered as the endpoint does it: a request, the facts in it, and the same definitions of
# features over the one lead in memory.

# %%
with warehouse.connect(threads=settings.query_threads) as connection:
    request = request_of(connection, LEAD, as_of_us, custom=custom_kinds(bundle.catalogue))
facts, _ = to_facts(parse_item(request, 0), as_of_us, custom=custom_kinds(bundle.catalogue))
answer = bundle.answer(facts, as_of_us)
interval = bundle.interval_of(answer)

[
    f"{LEAD}, one of {count} open leads on {iso(from_us(as_of_us))}",
    f"{answer.probability:.1%} to win within {bundle.manifest['horizon_days']:g} days",
    f"score {bundle.score(answer.probability)} of 100, grade {bundle.grade(answer.probability)}",
    "no range could be learnt" if interval is None else f"90 % range {interval[0]:.1%} to {interval[1]:.1%}",
    f"rules: {answer.rules.points} points, pool {answer.rules.pool}",
]

# %% [markdown]
# The range speaks of **leads scored like this one**: where their win rate is to be expected in the months to come. It
# does not say whether this one will sign. It is wider where the lead is unlike those the model has learnt from, and
# there is none below 100 judged wins, as nobody could say how often it holds.
#
# ## The reasons add up
# Contributions are log-odds. The base is an average lead; base and groups together are the answer, not nearly but
# exactly, because the calibration is a line through the margin.

# %%
reasons = pd.Series(dict(answer.groups)).sort_values(key=abs, ascending=False)
assert abs(answer.base_logit + reasons.sum() - answer.logit) < 1e-6
assert abs(answer.logit - bundle.full.logit(matrix)[best]) < 1e-6, "SQL and memory tell the same of a lead"
pd.DataFrame({"log-odds": reasons, "odds times": np.exp(reasons)}).head(10).round(3)

# %% [markdown]
# ## shap's own pictures
# `explain` gives contributions and base for many leads at once; a `shap.Explanation` takes them as they are. They are
# those of the whole model, linear part and trees together. shap's own explainers would see the trees alone.

# %%
contributions, base = bundle.full.explain(matrix)
explanation = shap.Explanation(
    values=contributions,
    base_values=np.full(len(contributions), base),
    data=matrix,
    display_data=rows.frame[list(encoding.names)].to_numpy(object),
    feature_names=list(encoding.names),
)
assert np.allclose(base + contributions.sum(axis=1), bundle.full.logit(matrix), atol=1e-6)

# %%
shap.plots.waterfall(explanation[best], max_display=12, show=False)
waterfall = plt.gcf()

# %% [markdown]
# Below one dot a lead: where red lies right, more of it raises the score. That is so for numbers only. The colour of a
# category is its place in the vocabulary and means nothing.

# %%
plt.figure()
shap.plots.beeswarm(explanation, max_display=12, show=False)
beeswarm = plt.gcf()

# %% [markdown]
# ## What if a white paper is downloaded tomorrow?
# Append the event to the facts and answer again. Both answers are given for the day after tomorrow, so that they differ
# by the download alone and not by a lead that has grown two days older. An event at the very moment of `as_of` would
# not count: windows are half open.

# %%
tomorrow_us, then_us = as_of_us + DAY_US + 9 * HOUR_US, as_of_us + 2 * DAY_US
download = EventFact("what-if", "download-1", "whitepaper_download", tomorrow_us, tomorrow_us, lead_id=LEAD)
without = bundle.answer(facts, then_us)
downloaded = replace(facts, events=[*(facts.events or ()), download])
with_it = bundle.answer(downloaded, then_us)
moved = pd.Series(dict(with_it.groups)) - pd.Series(dict(without.groups))
moved[moved.abs() > 1e-9].sort_values(key=abs, ascending=False).round(4)

# %% [markdown]
# In probabilities, and which features the event has changed. This is what the model would **say** of such a lead, not
# what sending white papers would **do**: people who think of buying download them of their own accord.

# %%
whatif = {"without": without.probability, "with": with_it.probability}
before, after = (evaluate(bundle.catalogue, each, then_us) for each in (facts, downloaded))
changed = {name: (before[name], value) for name, value in after.items() if before[name] != value}
pd.DataFrame.from_dict({"probability": tuple(whatif.values()), **changed}, orient="index", columns=list(whatif))
