# %% [markdown]
# # Bringing your own export
#
# From a folder of files to a judged model: say what the columns are, import, check, look for leaks, train. The export
# of a simulated CRM stands in for yours; put your folder and your mapping in their place. Everything goes to a folder
# of its own, `own-export` in the home folder, so that nothing you have is touched.

# %%
import pandas as pd
import yaml

from data.checks import check_warehouse
from data.clock import parse_moment
from data.errors import ClewError
from data.importing import import_export
from data.invariants import check_invariants
from data.mapping import load_mapping
from data.settings import load_settings
from data.simulator import simulate
from data.warehouse import Warehouse
from training.leaks.finder import find_leaks_in
from training.run import train

HOME = load_settings().home / "own-export"
END = parse_moment("2026-11-01")  # when the data end
settings = load_settings(home=HOME, warehouse=HOME / "warehouse", bundles=HOME / "bundles", mlruns=HOME / "mlruns")

# %% [markdown]
# ## The export
# CSV, Excel, Parquet or JSON Lines, as the CRM writes them. What clew needs at least are leads with the time of their
# creation and how they ended; events are what makes the difference.

# %%
export = simulate(leads=600, seed=5, months=12, out=HOME / "simulated", end=END).export
pd.read_csv(export / "leads.csv").drop(columns=["Name", "Email", "Phone"]).head(3).T

# %% [markdown]
# ## The mapping
# One YAML file: which file becomes which canonical table, and for every column when it is **known**. `at_creation` may
# feed any prediction; `later` and `after_outcome` feed none. Presets for Salesforce, HubSpot, Dynamics and Odoo come
# with clew; `load_mapping("salesforce")` is a good start. This one says something wrong of `Contract Type`, which sales
# fill in when a deal is closed.

# %%
MAPPING = """
mapping: 1
name: own
zone: UTC
plan: {goal: won, horizon_days: 90}
files:
  leads: {path: leads.csv, delimiter: ",", encoding: utf-8}
  accounts: {path: accounts.csv, delimiter: ",", encoding: utf-8}
  events: {path: events.parquet}
  outcomes: {path: outcomes.csv, delimiter: ",", encoding: utf-8}
tables:
  leads:
    from: leads
    known_at: {after: created_at, lag: PT0S}
    columns: {lead_id: Lead ID, created_at: {column: Created}, account_id: Company ID, source: Lead Source,
              job_title: Title, country: Country}
    custom:
      erp: {column: ERP, kind: categorical, known: at_creation}
      contract_type: {column: Contract Type, kind: categorical, known: at_creation}
  accounts:
    from: accounts
    known_at: {column: Updated At}
    columns: {account_id: Company ID, industry: Industry, employees: Employees, country: Country}
  events:
    from: events
    known_at: {column: received_at}
    columns: {source: system, event_id: event_id, lead_id: lead_id, type: activity, occurred_at: occurred_at}
  outcomes:
    from: outcomes
    known_at: {column: Entered At}
    columns:
      lead_id: Lead ID
      outcome: {column: Outcome, values: {Closed Won: won, Closed Lost: lost}}
      closed_at: Closed At
"""
first_try = HOME / "first_try.yaml"
first_try.write_text(MAPPING, encoding="utf-8")
report = import_export(export, load_mapping(first_try), Warehouse(HOME / "first-try"))
pd.DataFrame.from_dict(report.as_dict()["tables"], orient="index")[["rows_in", "kept", "duplicates", "quarantined"]]

# %% [markdown]
# Every row is accounted for: kept, a duplicate, or quarantined with its reason in the folder `report.quarantine`. A
# column that no table maps is listed, not lost in silence; `ignored:` in the mapping says that it is meant. Imported
# again, all rows are duplicates: the same export twice is the warehouse of once.

# %%
{name: file.unmapped for name, file in report.files.items() if file.unmapped}

# %% [markdown]
# ## Where errors point
# A wrong word is refused before a row is read, with its path in the file and what is allowed there; a column that the
# file does not have, with the names that it has.

# %%
refusals = []
for right, wrong in (("known: at_creation", "known: at_birth"), ("Company ID", "Company Number")):
    broken = HOME / "broken.yaml"
    broken.write_text(MAPPING.replace(right, wrong, 1), encoding="utf-8")
    try:
        import_export(export, load_mapping(broken), Warehouse(HOME / "broken"))
    except ClewError as error:
        refusals.append(str(error))
refusals

# %% [markdown]
# ## The leak finder
# A column that knows the outcome makes a model that looks splendid and is worth nothing on the day. The training set is
# built as a training would build it, and every column is judged on it. A training would stop here.

# %%
leaks = find_leaks_in(Warehouse(HOME / "first-try"), settings, as_of=END)
pd.DataFrame(
    [
        {"column": one.name, "verdict": one.verdict, "AUC alone": one.auc, "why": one.evidence[0]}
        for one in leaks.columns
    ]
).set_index("column").query("verdict != 'clean'")

# %% [markdown]
# So the mapping has to tell the truth about it. Imported anew, it feeds no prediction any more.

# %%
told = yaml.safe_load(MAPPING)
told["tables"]["leads"]["custom"]["contract_type"]["known"] = "after_outcome"
mapping = HOME / "own.yaml"
mapping.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")
warehouse = Warehouse(settings.warehouse_dir)
again = import_export(export, load_mapping(mapping), warehouse)
[(one.column, one.known, one.filled) for one in again.withheld]

# %% [markdown]
# ## Checks
# Hard invariants first: they raise. Then expectations of each column with Data Docs, pages that show counts and never
# values of persons.

# %%
invariants = check_invariants(warehouse)
checks = check_warehouse(warehouse, HOME / "data-docs")
assert checks.docs is not None
[f"{invariants.checked} invariants hold", f"{len(checks.failed)} of {len(checks.results)} expectations are not met"]

# %% [markdown]
# ## Training
# Judged forward in time beside its peers, then refitted and sealed as a bundle. A few hundred leads are a smoke test:
# below 100 judged wins there are figures and no verdict. `clew train` does this and registers the run in MLflow;
# `clew promote` serves it.

# %%
trained = train(warehouse, settings, as_of=END)
board = trained.judgement.scoreboard
figures = board.rows[(board.rows["group"] == "all") & (board.rows["metric"] == "log_loss")]
figures.set_index("method")[["value", "low", "high", "difference_low", "difference_high"]].round(4)

# %%
[board.verdict(), trained.verdict.sentence, f"sealed as {trained.bundle.folder}"]
