# %% [markdown]
# # Comparing two models
#
# Is this month's model better than that of two months ago, and where? One is the champion; the other is the same recipe
# judged with the data of an earlier cutoff, which leaves a run but no version. Any two names do as well: version
# numbers, `champion`, `challenger`, `previous`, or the id of a run as MLflow shows it.
#
# Judging refits all methods month by month, so that this notebook takes about as long as a training.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from data.clock import from_us, parse_moment, to_us
from data.settings import load_settings
from features.profile import months_back
from training.bundles.bundle import Bundle, pointed_bundle
from training.evaluation.comparing import compare_runs, judge_as_of, log_comparison
from training.evaluation.rolling_pictures import monthly_figures, monthly_rates, segment_differences
from training.evaluation.segments import months_of

settings = load_settings()
folder = pointed_bundle(settings.bundles_dir)
assert folder is not None, "no bundle is promoted yet: run `clew train`"
cutoff_us = to_us(parse_moment(str(Bundle.load(folder).manifest["cutoff"])))

# %% [markdown]
# ## All methods on the rows of one cutoff
# Each method is fitted anew at the start of every judged month, on what had matured by then, and predicts that month's
# list of open leads. Nothing was chosen on these rows. `compare_as_of` returns the judgement alone; `judge_as_of` also
# what it was made of, which the log needs.

# %%
EARLIER = from_us(months_back(cutoff_us, settings.timezone, 3)[0])
comparison = judge_as_of(settings, EARLIER)
board = comparison.judgement.scoreboard
every = board.rows[board.rows["group"] == "all"]
deciding = every[every["metric"].isin(["log_loss", "roc_auc", "wins_at_capacity"])]
deciding.set_index(["metric", "method"])[["value", "low", "high", "difference_low", "difference_high"]].round(4)

# %% [markdown]
# `low` and `high` are the 95 % interval of a figure: accounts are drawn again with replacement, as leads of one company
# win or lose together. The two last columns are the interval of the **paired difference** to the model, and they
# decide. Two intervals may overlap widely although one method is ahead on nearly every draw.
#
# **Not told apart** means that the interval of the difference holds 0: with these wins, chance alone could have put
# either in front. It does not mean that they are equally good. Below 100 judged wins there are figures and no verdict.

# %%
[f"{board.n} judged rows with {board.wins} wins from {board.origins} months", board.verdict(), *board.caveats]

# %% [markdown]
# ## Month by month
# One good month proves little. Left the log loss of each method by month, the model's with its interval; right what the
# model promised and what came. A dot whose bar misses the line is a month that it did not foresee.

# %%
figures = monthly_figures(board, "log_loss")
judgement = comparison.judgement
rates = monthly_rates(judgement.y_obs, judgement.predictions[board.model], months_of(judgement.spine))

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
left.fill_between(figures.months, figures.low, figures.high, alpha=0.15)
for method, values in figures.values.items():  # noqa: PD011 - by method, no frame
    left.plot(figures.months, values, marker="o", linewidth=2.5 if method == board.model else 1, label=method)
left.set_title("log loss (lower is better)")
left.legend(fontsize=7)
spread = np.maximum([rates.realised - rates.low, rates.high - rates.realised], 0)
right.errorbar(rates.months, rates.realised, yerr=spread, fmt="o", capsize=4, label="realised")
right.plot(rates.months, rates.promised, "D-", label="promised")
right.set_title("win rate")
right.legend()
figure.tight_layout()

# %% [markdown]
# ## Segments
# Where the best other method beats the model: above 0 it is better there. Of twenty segments one stands out by chance;
# where `judgeable` is false, fewer than 30 wins say nothing at all.

# %%
segments = pd.DataFrame([vars(part) | {"judgeable": part.judgeable} for part in segment_differences(board, "log_loss")])
segments.round(4)

# %% [markdown]
# ## Two runs
# The comparison above becomes a run of its own, kept once however often this cell is run; then both are put side by
# side. `parameters` are those that differ.

# %%
found = compare_runs(settings, log_comparison(comparison, settings), "champion")
pd.DataFrame.from_dict(dict(found.parameters), orient="index", columns=list(found.names))

# %% [markdown]
# The figures of the two runs stem from different months, and an easy month flatters whoever was judged on it. So the
# table below is there to look at, and the verdict rests on the rows that **both** have judged, lead by lead.

# %%
wanted = (found.figures["group"] == "all") & (found.figures["method"] == board.model)
found.figures[wanted].set_index("metric").drop(columns=["group", "method"]).round(4)

# %%
found.said

# %% [markdown]
# The paired figures themselves. There are none where the runs predict different things or share no row; `said` tells.

# %%
assert found.paired is not None, found.said
shared = found.paired.rows[found.paired.rows["group"] == "all"]
shared.set_index(["metric", "method"])[["value", "low", "high", "difference_low", "difference_high"]].round(4)
