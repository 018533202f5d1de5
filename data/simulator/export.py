"""The export as a CRM would hand it over: tables with a CRM's headers, and the mapping that explains them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.clock import DAY_US, from_us
from data.simulator import identity
from data.simulator.arrays import Bools, Floats, Ints, Texts, exponential_us, moments, words
from data.simulator.chain import EVALUATING, Walk
from data.simulator.engagement import CHANNELS, EVENT_TYPES, Events
from data.simulator.sales import OWNERS, POOLS, REASONS, STAGES, Outcomes, Stages
from data.simulator.vocabulary import BUDGETS, COUNTRIES, ERPS, INDUSTRIES, SOURCES, ZH, Country, Fit, Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from data.simulator.population import Accounts, People
    from data.simulator.records import Records
    from data.simulator.seasons import Calendar

__all__ = [
    "KEYWORDS",
    "World",
    "account_ids",
    "account_table",
    "event_table",
    "lead_ids",
    "lead_table",
    "outcome_table",
    "stage_table",
]

_SYSTEMS = ("site", "mailer", "webinars")
_STAGE_NAMES = ("Called", "MQL", "SQL", "Opportunity")
KEYWORDS = {
    0: ("lead scoring", "erp integration", "fleet software", "mes system"),
    ZH: ("线索管理", "设备管理系统", "车队管理"),
}
_LANDING = ("/", "/pricing", "/whitepaper", "/webinar", "/demo", "/industries")
_NOTES = ("met at the booth", "asked for references", "请尽快联系", "wants a call next week", "已发送资料")


@dataclass(frozen=True)
class World:
    """Everything that happened, before it is written down."""

    calendar: Calendar
    accounts: Accounts
    people: People
    walk: Walk
    records: Records
    pool: Ints
    events: Events
    stages: Stages
    outcomes: Outcomes


def lead_ids(records: Records) -> Texts:
    """Return the id of each record: its number in the order of creation."""
    return words([f"L-{number:07d}" for number in range(1, len(records.person) + 1)])


def account_ids(accounts: Accounts) -> Texts:
    """Return the id of each company."""
    return words([f"A-{number:06d}" for number in range(1, len(accounts.country) + 1)])


def lead_table(rng: np.random.Generator, world: World) -> pa.Table:
    """Return `leads.csv`, one row a record as it stands when the export is made: some columns know too much."""
    people, records = world.people, world.records
    who, count = records.person, len(records.person)
    domains = identity.company_domains(world.accounts)
    status, detail, contract = _standing(rng, world)
    columns: dict[str, Texts | pa.Array] = {
        "Lead ID": lead_ids(records),
        "Created": moments(records.created),
        "Company ID": _kept(account_ids(world.accounts)[people.account[who]], people.linked[who]),
        "Company": identity.company_names(world.accounts)[people.account[who]],
        "Name": identity.names(rng, people, records),
        "Title": identity.titles(rng, people, records),
        "Email": identity.emails(rng, people, records, domains),
        "Phone": identity.phones(rng, people, world.accounts, records),
        **_funnel(rng, world),
        "Country": _kept(_codes(COUNTRIES)[world.accounts.country[people.account[who]]], rng.random(count) >= 0.05),
        "Owner ID": words([f"U-{number:02d}" for number in who % OWNERS]),
        "Status": status,
        "Pool": _kept(words(POOLS)[world.pool[who]], ~records.duplicate),
        "ERP": _kept(_labels(ERPS)[people.erp[who]], people.erp_known[who]),
        "Fleet Size": _numbers(people.fleet[who], people.fleet_known[who]),
        "Budget Band": _kept(_labels(BUDGETS)[people.budget[who]], people.budget_known[who]),
        "Note": _kept(words(_NOTES)[rng.integers(0, len(_NOTES), count)], rng.random(count) < 0.2),
        "Status Detail": detail,
        "Contract Type": contract,
        "Last Modified": moments(
            np.minimum(records.created + exponential_us(rng, 40.0 * DAY_US, count), world.calendar.end)
        ),
    }
    return _table(columns)


def _standing(rng: np.random.Generator, world: World) -> tuple[Texts, Texts, Texts]:
    """Return status, its detail and the kind of contract at the time of the export: they hold the answer."""
    records, entered = world.records, world.outcomes.entered < world.calendar.end
    status = words(["Open"]).repeat(len(records.person))
    evaluating = np.zeros(len(world.people.created), dtype=bool)
    evaluating[world.walk.open_at(world.calendar.end)[0]] = world.walk.open_at(world.calendar.end)[1] == EVALUATING
    status[evaluating[records.person]] = "Working"
    closed, won = world.outcomes.record[entered], world.outcomes.won[entered]
    status[closed] = np.where(won, "Won", "Lost")
    detail = words(["nurturing", "in talks"])[(status == "Working").astype(np.int64)]
    detail[closed] = np.where(won, "signed", words(REASONS)[world.outcomes.reason[entered]])
    contract = words([None]).repeat(len(records.person))
    kinds = words(["annual", "multi-year", "pilot"])
    contract[closed[won]] = kinds[rng.integers(0, 3, int(won.sum()))]
    return status, _kept(detail, rng.random(len(detail)) < 0.9), contract


def _funnel(rng: np.random.Generator, world: World) -> dict[str, Texts]:
    """Return where each record came from; a form sent again often comes by another way."""
    people, records = world.people, world.records
    who, count = records.person, len(records.person)
    again = records.duplicate & (rng.random(count) < 0.5)
    source = np.where(again, rng.integers(0, len(SOURCES), count), people.source[who])
    pick = rng.integers(0, 1000, count)
    month = world.calendar.month(records.created)
    first = [from_us(int(bound)) for bound in world.calendar.bounds]
    medium, campaign, keyword = [], [], []
    for code, number, at, market in zip(
        source.tolist(), pick.tolist(), month.tolist(), people.market[who].tolist(), strict=True
    ):
        name = SOURCES[code].name
        medium.append(SOURCES[code].media[number % len(SOURCES[code].media)])
        quarter = f"{first[at].year}q{(first[at].month + 2) // 3}"
        campaign.append(None if name in {"organic", "referral"} else f"{name}-{quarter}-{number % 3}")
        terms = KEYWORDS[market]
        keyword.append(terms[number % len(terms)] if name == "paid_search" else None)
    online = np.array([entry.tracked >= 0.5 for entry in SOURCES])[source]
    return {
        "Lead Source": _kept(_labels(SOURCES)[source], rng.random(count) >= 0.03),
        "Medium": words(medium),
        "Campaign": words(campaign),
        "Keyword": words(keyword),
        "Landing Page": _kept(words(_LANDING)[pick % len(_LANDING)], online),
    }


def account_table(rng: np.random.Generator, world: World) -> pa.Table:
    """Return `accounts.csv`, a history: a bought data set fills in some sizes that were missing at first."""
    accounts, count = world.accounts, len(world.accounts.country)
    met = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(met, world.people.account, world.people.created)
    enriched = met + exponential_us(rng, 120.0 * DAY_US, count) if count else met
    seen = np.flatnonzero(met < world.calendar.end)
    later = seen[~accounts.employees_known[seen] & (rng.random(len(seen)) < 0.25)]
    later = later[enriched[later] < world.calendar.end]
    row = np.concatenate([seen, later])
    bought = np.arange(len(row)) >= len(seen)
    at = np.where(bought, enriched[row], met[row])
    country = [COUNTRIES[code] for code in accounts.country[row].tolist()]
    columns: dict[str, Texts | pa.Array] = {
        "Company ID": account_ids(accounts)[row],
        "Company Name": identity.company_names(accounts)[row],
        "Industry": _kept(_labels(INDUSTRIES)[accounts.industry[row]], accounts.industry_known[row]),
        "Employees": _whole(accounts.employees[row], accounts.employees_known[row] | bought),
        "Annual Revenue": _numbers(accounts.revenue[row], accounts.revenue_known[row] | bought),
        "Currency": words([place.currency for place in country]),
        "Country": words([place.code for place in country]),
        "Region": words([place.regions[r] for place, r in zip(country, accounts.region[row].tolist(), strict=True)]),
        "Founded": _whole(accounts.founded[row].astype(np.float64), rng.random(len(row)) < 0.7),
        "Website": words([f"https://www.{domain}" for domain in identity.company_domains(accounts)[row]]),
        "Updated At": moments(at),
    }
    return _table(columns).take(pa.array(np.lexsort((row, at))))


def event_table(rng: np.random.Generator, world: World) -> pa.Table:
    """Return `events.parquet`: out of order, some delivered twice, as far as received before the export."""
    events = world.events
    order = np.lexsort((events.who, events.at))
    events = events.take(order[events.received[order] < world.calendar.end])
    record = world.records.logged(rng, events.who, events.at)
    month = pc.strftime(pa.array(events.at // 1_000_000, pa.timestamp("s")), format="%Y-%m")
    mail = pa.array(events.channel == CHANNELS.index("email"))
    search = (events.kind == 0) & (world.people.source[events.who] == 1) & (rng.random(len(events.at)) < 0.3)
    term = words(KEYWORDS[0] + KEYWORDS[ZH])[rng.integers(0, 4, len(search)) + 3 * world.people.market[events.who]]
    table = pa.table(
        {
            "system": _coded(_SYSTEMS, _system(events.kind)),
            "event_id": pc.binary_join_element_wise("e", pa.array(np.arange(len(events.at))).cast(pa.string()), "-"),
            "lead_id": pa.array(lead_ids(world.records), pa.string()).take(pa.array(record)),
            "activity": _coded(EVENT_TYPES, events.kind),
            "occurred_at": _stamps(events.at),
            "content_id": _coded([f"c-{number:02d}" for number in range(1, 41)], events.content),
            "campaign": pc.if_else(mail, pc.binary_join_element_wise("newsletter", month, "-"), None),
            "keyword": pa.array(_kept(term, search), pa.string()),
            "channel": _coded(CHANNELS, events.channel),
            "duration_s": pa.array(events.duration, from_pandas=True),
            "value": pa.array(events.value, from_pandas=True),
            "received_at": _stamps(events.received),
        }
    )
    again = np.flatnonzero(rng.random(len(events.at)) < 0.03)
    rows = np.concatenate([np.arange(len(events.at)), again])
    delivered = events.received[rows] + exponential_us(rng, DAY_US / 4, len(rows))
    return table.take(pa.array(rows[np.argsort(delivered, kind="stable")]))


def _system(kind: Ints) -> Ints:
    """Return which system logs a type of event: the mail tool, the webinar tool or the site."""
    logs = np.array([1 if name.startswith("email") else 2 if name.startswith("webinar") else 0 for name in EVENT_TYPES])
    system: Ints = logs[kind]
    return system


def stage_table(world: World) -> pa.Table:
    """Return `stages.csv`, as far as entered before the export."""
    stages = world.stages
    rows = np.flatnonzero(stages.entered < world.calendar.end)
    rows = rows[np.lexsort((stages.stage[rows], stages.record[rows], stages.entered[rows]))]
    pool = world.pool[world.records.person[stages.record[rows]]]
    called = stages.stage[rows] == STAGES.index("called")
    return _table(
        {
            "Lead ID": lead_ids(world.records)[stages.record[rows]],
            "Stage": words(_STAGE_NAMES)[stages.stage[rows]],
            "Date": moments(stages.at[rows]),
            "Entered At": moments(stages.entered[rows]),
            "Owner ID": words([f"U-{number:02d}" for number in stages.actor[rows]]),
            "Reason": _kept(words([f"pool {name}" for name in POOLS])[pool], called),
        }
    )


def outcome_table(world: World) -> pa.Table:
    """Return `outcomes.csv`, as far as entered before the export."""
    outcomes = world.outcomes
    rows = np.flatnonzero(outcomes.entered < world.calendar.end)
    rows = rows[np.lexsort((outcomes.record[rows], outcomes.entered[rows]))]
    account = world.people.account[world.records.person[outcomes.record[rows]]]
    country = [COUNTRIES[code] for code in world.accounts.country[account].tolist()]
    won = outcomes.won[rows]
    amount = np.round(outcomes.amount_usd[rows] / np.array([place.usd for place in country]), -2)
    return _table(
        {
            "Lead ID": lead_ids(world.records)[outcomes.record[rows]],
            "Outcome": words(["Closed Lost", "Closed Won"])[won.astype(np.int64)],
            "Closed At": moments(outcomes.at[rows]),
            "Amount": _numbers(amount, won),
            "Currency": _kept(words([place.currency for place in country]), won),
            "Reason": _kept(words(REASONS)[outcomes.reason[rows]], ~won),
            "Entered At": moments(outcomes.entered[rows]),
        }
    )


def _labels(kinds: tuple[Fit, ...] | tuple[Source, ...]) -> Texts:
    return words([kind.name for kind in kinds])


def _codes(countries: tuple[Country, ...]) -> Texts:
    return words([country.code for country in countries])


def _kept(values: Texts, told: Bools) -> Texts:
    """Return the values that the CRM was told, None elsewhere."""
    kept = values.copy()
    kept[~told] = None
    return kept


def _numbers(values: Floats, told: Bools) -> pa.Array:
    return pa.array(values, pa.float64(), mask=~told)


def _whole(values: Floats, told: Bools) -> pa.Array:
    return pa.array(values.astype(np.int64), pa.int64(), mask=~told)


def _coded(texts: Sequence[str], codes: Ints) -> pa.Array:
    """Return texts by code, null for a negative one."""
    indices = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(texts, pa.string())).cast(pa.string())


def _stamps(us: Ints) -> pa.Array:
    return pa.array(us, pa.timestamp("us", tz="UTC"))


def _table(columns: Mapping[str, Texts | pa.Array]) -> pa.Table:
    """Return a table; arrays of objects are texts."""
    return pa.table({name: pa.array(c, pa.string()) if isinstance(c, np.ndarray) else c for name, c in columns.items()})
