# %% [markdown]
# # One feature over time
#
# Before a feature is trusted: is it filled, does it drift, what does the model make of it, has it told winners from
# losers in every season, and could it be a leak? Put any name of `clew features --list` in its place.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from data.clock import from_us, parse_moment, to_us
from data.settings import load_settings
from data.warehouse import Warehouse
from features.engine import feature_computer
from features.profile import months_back, photograph_months, profile_features
from features.reading import reads_of, window_of
from training.bundles.bundle import Bundle, pointed_bundle
from training.evaluation.metrics import wilson
from training.evaluation.segments import months_of
from training.run import prepare

FEATURE = "whitepaper_downloads_30d"
MONTHS = 6

settings = load_settings()
warehouse = Warehouse(settings.warehouse_dir)
folder = pointed_bundle(settings.bundles_dir)
assert folder is not None, "no bundle is promoted yet: run `clew train`"
bundle = Bundle.load(folder)
cutoff = parse_moment(str(bundle.manifest["cutoff"]))
catalogue = bundle.catalogue.keep([FEATURE])
assert catalogue.names, f"{FEATURE} is no feature of the bundle: see `clew features --list`"
feature = catalogue.features[0]
f"{feature.name}: {feature.label.en}; reads {reads_of(feature)}, window {window_of(feature)}"

# %% [markdown]
# ## Filled, typical, moved
# The leads that were open on the same day of each month. `psi` compares a month with the one before. Custom calls 0.1 a
# move and 0.25 a large one, but small months move by chance: `chance` is how far at most, and only beyond both does
# `move` say so.

# %%
moments = months_back(to_us(cutoff), settings.timezone, MONTHS)
with warehouse.connect(threads=settings.query_threads) as connection:
    sections = photograph_months(connection, moments)
    table = feature_computer(settings, warehouse)(connection, catalogue)

ends = np.cumsum([section.described for section in sections])
monthly = []
for at, (section, end) in enumerate(zip(sections, ends, strict=True)):
    pair = sections[max(at - 1, 0) : at + 1]
    described = sum(one.described for one in pair)
    (profile,) = profile_features(table[end - described : end], catalogue, pair, month_before=at > 0)
    drift = {} if profile.drift is None else {key: getattr(profile.drift, key) for key in ("psi", "chance", "move")}
    head = {"month": f"{from_us(section.as_of_us):%Y-%m-%d}", "leads": section.leads, "filled": 1 - profile.missing[-1]}
    monthly.append({**head, **dict(profile.typical), **drift})
over_time = pd.DataFrame(monthly).set_index("month")
over_time.round(3)

# %% [markdown]
# The distribution now, in the bins that were compared; rare values are joined with their neighbours.

# %%
pd.DataFrame([{"bin": one.label, "a month before": one.before, "now": one.now} for one in profile.bins]).set_index(
    "bin"
)

# %% [markdown]
# ## Its weight in the model
# How far it moves the log-odds of an open lead, on average and regardless of sign, and its place among all features. A
# feature that the model does not read at all was constant, or a copy of another one, when the model was fitted.

# %%
prepared = prepare(warehouse, settings, as_of=cutoff)
encoding = bundle.full.model.encoding
contributions, _ = bundle.full.explain(encoding.tree_matrix(prepared.open_rows.frame))
weight = pd.Series(np.abs(contributions).mean(axis=0), index=list(encoding.names)).sort_values(ascending=False)
places = pd.DataFrame({"mean |log-odds|": weight, "place": range(1, len(weight) + 1)})
places[(places["place"] <= 8) | (places.index == FEATURE)].round(4)

# %% [markdown]
# ## Does it tell winners from losers, in every season?
# The matured pairs of the monthly lists: of the leads with such a value, how many were won within the horizon? The
# bracket is Wilson's 95 % interval; with a handful of wins a month, single cells jump about.

# %%
rows = prepared.rows.take(prepared.rows.spine["monthly"].to_numpy() == 1)
values = rows.frame[FEATURE]
edges = [] if feature.kind == "categorical" else sorted({-np.inf, 0.0, *values.quantile([0.8, 0.95, 1.0])})
binned = (pd.cut(values, edges) if edges else values).astype("object")
pairs = pd.DataFrame(
    {"bin": binned.where(binned.notna(), "missing").astype(str), "month": months_of(rows.spine), "won": rows.y_obs}
)
by_bin = pairs.groupby("bin")["won"].agg(["size", "sum"])
by_bin["rate"] = by_bin["sum"] / by_bin["size"]
by_bin[["low", "high"]] = [wilson(won, of) for won, of in zip(by_bin["sum"], by_bin["size"], strict=True)]
by_bin.round(3)

# %%
by_month = pairs.pivot_table(index="month", columns="bin", values="won", aggfunc="mean")
axes = by_month.plot(marker="o", figsize=(10, 4), ylabel="win rate", title=FEATURE)
axes.set_ylim(bottom=0)
figure = axes.get_figure()
plt.tight_layout()

# %% [markdown]
# ## Could it be a leak?
# What the leak finder has found of the column or the event type behind it. `clean` is the verdict to hope for;
# `suspect` is one for a person, and the evidence says what to ask. A leak would have stopped `prepare` above, by name.

# %%
assert prepared.leaks is not None
finding = next(one for one in prepared.leaks.columns if FEATURE in one.features)
[f"{finding.name} ({finding.reads}): {finding.verdict}", *finding.evidence]
