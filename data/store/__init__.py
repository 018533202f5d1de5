"""The operational store: the facts as they come in, and what clew said and did about them, on SQLite or PostgreSQL.

`clew init` alone makes and migrates it; everything else opens it and refuses another schema. Facts are only ever added.
What is returned was committed: after a crash it is there, once.
"""

from data.store.dirty import DirtyLead, count_dirty, take_dirty
from data.store.engine import Store, expect_schema, open_store
from data.store.keys import ApiKey, create_key, list_keys, revoke_key, verify_key
from data.store.lease import Lease, LeaseLostError, acquire, release, renew
from data.store.logs import add_actions, add_events, add_merges, add_stages
from data.store.migrate import Migration, migrate
from data.store.notes import Feedback, SavedView, add_feedback, delete_view, feedback_on, save_view, views_of
from data.store.open_leads import open_leads
from data.store.outbox import (
    Delivery,
    Target,
    add_target,
    claim_deliveries,
    list_targets,
    remove_target,
    send_all,
    settle_delivery,
)
from data.store.reading import StoredFacts, lead_facts
from data.store.records import (
    AccountRecord,
    ActionRecord,
    ContactRecord,
    EventRecord,
    LeadRecord,
    MergeRecord,
    OutcomeRecord,
    StageRecord,
    Verdict,
    record_of,
)
from data.store.scores import GivenScore, Recorded, Score, current_score, history, record_scores
from data.store.states import add_outcomes, put_account, put_lead, put_leads

__all__ = [
    "AccountRecord",
    "ActionRecord",
    "ApiKey",
    "ContactRecord",
    "Delivery",
    "DirtyLead",
    "EventRecord",
    "Feedback",
    "GivenScore",
    "LeadRecord",
    "Lease",
    "LeaseLostError",
    "MergeRecord",
    "Migration",
    "OutcomeRecord",
    "Recorded",
    "SavedView",
    "Score",
    "StageRecord",
    "Store",
    "StoredFacts",
    "Target",
    "Verdict",
    "acquire",
    "add_actions",
    "add_events",
    "add_feedback",
    "add_merges",
    "add_outcomes",
    "add_stages",
    "add_target",
    "claim_deliveries",
    "count_dirty",
    "create_key",
    "current_score",
    "delete_view",
    "expect_schema",
    "feedback_on",
    "history",
    "lead_facts",
    "list_keys",
    "list_targets",
    "migrate",
    "open_leads",
    "open_store",
    "put_account",
    "put_lead",
    "put_leads",
    "record_of",
    "record_scores",
    "release",
    "remove_target",
    "renew",
    "revoke_key",
    "save_view",
    "send_all",
    "settle_delivery",
    "take_dirty",
    "verify_key",
    "views_of",
]
