# %% [markdown]
# # Tuning the scorecard
#
# Judge the rules like a model, let history suggest others, see where rules and model disagree, and write the suggestion
# as a file for a person to read. Nothing here changes the rules in use: that takes a line in `clew.yaml`.

# %%
import numpy as np
import pandas as pd

from data.clock import parse_moment
from data.settings import load_settings
from data.warehouse import Warehouse
from features.scorecard import load_scorecard
from training.bundles.bundle import Bundle, pointed_bundle
from training.bundles.registry import Registry
from training.evaluation.judged import read_judged
from training.evaluation.judging import MODEL, predict
from training.rules.disagreements import disagreements, sides_of
from training.rules.file import write_suggestion
from training.rules.history import list_moments
from training.rules.review import review_scorecard
from training.rules.suggest import CURRENT, SUGGESTED, suggest_scorecard
from training.run import prepare

settings = load_settings()
folder = pointed_bundle(settings.bundles_dir)
assert folder is not None, "no bundle is promoted yet: run `clew train`"
bundle = Bundle.load(folder)
cutoff = parse_moment(str(bundle.manifest["cutoff"]))
prepared = prepare(Warehouse(settings.warehouse_dir), settings, as_of=cutoff)

# %% [markdown]
# ## What history says of each rule
# `lift` is how many times as often a lead is won where the rule fires. `supported_points` are what history gives the
# rule **beside the others**, on the scorecard's own scale: two rules that fire on the same leads share their points.
# `no evidence` is no verdict against a rule; there are too few wins to tell it from nothing.

# %%
review = review_scorecard(
    prepared.scorecard,
    prepared.rows,
    capacity=settings.capacity,
    rng=np.random.default_rng(settings.seed),
    plan=prepared.plan,
)
rules = pd.DataFrame([rule.as_dict() for rule in review.rules]).set_index("rule")
rules[
    ["points", "supported_points", "supported_points_low", "supported_points_high", "share", "lift", "verdict"]
].round(2)

# %%
[review.verdict(), *review.findings()]

# %% [markdown]
# ## The pools
# How many leads a month land in each, and how they fared. A pool that holds more than the team can call is no priority.

# %%
pd.DataFrame([pool.as_dict() for pool in review.pools]).round(3)

# %% [markdown]
# ## A scorecard learnt from outcomes
# Few conditions and round points, learnt on the earlier lists and judged on the later ones beside the rules in use and
# a random order. How sure a condition has to be was chosen inside the earlier part.

# %%
suggestion = suggest_scorecard(
    prepared.rows,
    prepared.rows.catalogue,
    capacity=settings.capacity,
    seed=settings.seed,
    current=prepared.scorecard,
    plan=prepared.plan,
)
pd.DataFrame(
    [
        {"rule": rule.rule, "points": rule.points, "lift when learnt": learnt.lift.value, "lift later": held.lift.value}
        for rule, learnt, held in zip(suggestion.scorecard.rules, suggestion.learnt, suggestion.held, strict=True)
    ]
).set_index("rule").round(2)

# %%
figures = suggestion.judged.figures
of_both = figures[(figures["group"] == "all") & figures["method"].isin([SUGGESTED, CURRENT])]
of_both.set_index(["metric", "method"])[["value", "low", "high", "difference_low", "difference_high"]].round(3)

# %% [markdown]
# The verdict rests on the paired interval. "Not told apart" is a reason to keep the rules that people know.

# %%
[suggestion.verdict(), f"kept: {', '.join(suggestion.kept) or '–'}", f"dropped: {', '.join(suggestion.dropped) or '–'}"]

# %% [markdown]
# ## Where rules and model disagree
# High is who surely stands among the best that the team can call, low who surely does not. First the leads that the
# champion's run has judged, of which the outcome is known: who was right?

# %%
registry = Registry(settings.mlruns)
path = registry.artifact(registry.find_run("champion").run_id, "tables/judged.parquet")
assert path is not None, "the champion's run has kept no judged rows: train it again"
points = prepared.rows.spine[["lead_id", "as_of_us"]].assign(points=prepared.scorecard.points(prepared.rows.frame))
judged = read_judged(path).to_pandas().merge(points, on=["lead_id", "as_of_us"])
apart = disagreements(
    judged["points"].to_numpy(),
    judged[MODEL].to_numpy(),
    lead_id=judged["lead_id"].to_numpy(object),
    as_of_us=list_moments(judged["as_of_us"].to_numpy(np.int64), prepared.plan),
    capacity=settings.capacity,
    y_obs=judged["y_obs"].to_numpy(),
    clusters=judged["cluster"].to_numpy(object),
)
sides = sides_of(apart, rng=np.random.default_rng(settings.seed))
pd.DataFrame(sides.rows).set_index("side").round(3)

# %%
sides.verdict()

# %% [markdown]
# Then today's open leads: the ones to talk about with sales, the strongest disagreement first.

# %%
open_rows = prepared.open_rows
today = disagreements(
    prepared.scorecard.points(open_rows.frame),
    predict(bundle.full.logit(bundle.full.model.encoding.tree_matrix(open_rows.frame))),
    lead_id=open_rows.spine["lead_id"].to_numpy(object),
    as_of_us=np.full(len(open_rows.spine), prepared.cutoff_us),
    capacity=settings.capacity,
)
today[today["side"] != "both_high"].head(10).round(3)

# %% [markdown]
# ## Write it, read it, decide
# The file holds each rule with its evidence in a comment above it. Change what you know better and load it again: a
# rule that makes no sense is refused with its place in the file. `scorecard: FILE` in `clew.yaml` puts it to use.

# %%
written = write_suggestion(suggestion, settings.home / "rules" / "suggested.yaml")
loaded = load_scorecard(written, features=set(prepared.rows.catalogue.names))
assert (loaded.points(open_rows.frame) == suggestion.scorecard.points(open_rows.frame)).all()
written.read_text("utf-8").splitlines()
