"""`clew explain` in the terminal says what the page of the lead says: the same facts, in the same words."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from data.clock import now, to_us
from data.store import Store, current_score, migrate, open_store
from data.store.schema import VISITS
from serving.changes.voices import Voices
from serving.keys.access import ANYONE
from serving.pages.comparing import FEWEST, Comparing
from serving.pages.lead_view import lead_view
from serving.pages.one_lead import Looking, look_at
from serving.pages.rendering import percent, signed
from serving.scoring.scorer import Scorer
from tests.commands import CommandLine
from tests.service.selling import fill_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from features.words import Language
    from serving.pages.one_lead import OneLead
    from training.bundles.bundle import Bundle

LEADS, ENDED = 60, 30
LEAD = "L-0003"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> CommandLine:
    """A team's folder with a served bundle and a store of its own."""
    line = CommandLine(tmp_path_factory.mktemp("team"))
    settings = line.settings()
    settings.bundles_dir.mkdir(parents=True)
    (settings.bundles_dir / "bundle").symlink_to(bundle.folder)
    (settings.bundles_dir / "current").write_text("bundle", "utf-8")
    migrate(settings.store_url)
    with_store = open_store(settings.store_url)
    fill_store(with_store, Scorer(bundle, bundle.scorecard), now_us=to_us(now()), leads=LEADS, ended=ENDED)
    with_store.close()
    return line


@pytest.fixture(scope="module")
def store(line: CommandLine) -> Iterator[Store]:
    store = open_store(line.settings().store_url)
    yield store
    store.close()


@pytest.fixture(scope="module")
def page(store: Store, line: CommandLine, bundle: Bundle) -> tuple[OneLead, dict[str, Any]]:
    return seen(store, line, bundle, "en")


def seen(store: Store, line: CommandLine, bundle: Bundle, language: Language) -> tuple[OneLead, dict[str, Any]]:
    """Return the page's view model of a lead; whoever looks has looked at it before."""
    scorer, now_us = Scorer(bundle, bundle.scorecard), to_us(now())
    looking = Looking(LEAD, ANYONE, "page", language, now_us)
    one = look_at(store, scorer, looking, comparing=Comparing(), voices=Voices(line.settings(), lambda: scorer))
    return one, lead_view(one, scorer, language, now_us=now_us)


def test_the_json_holds_the_facts_of_the_page(line: CommandLine, page: tuple[OneLead, dict[str, Any]]) -> None:
    one, view = page
    ran = line("explain", LEAD, "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert one.told is not None
    assert one.told.grade is not None
    assert one.compared is not None
    assert told["probability"] == one.told.probability
    assert told["interval"] == list(one.told.interval or ())
    assert told["grade_record"] == one.told.grade.model_dump(mode="json")
    assert told["rules"] == dict(one.rules)
    assert told["handover"] == view["handover"]
    assert [reason["text"] for reason in told["reasons"]] == [reason["text"] for reason in one.told.reasons]
    lines = [list(each) for each, step in zip(view["evidence"], view["steps"], strict=True) if step.reason is not None]
    assert [reason["behind"] for reason in told["reasons"]] == lines
    assert any(lines)
    changed = view["changed"]
    assert changed is not None
    assert {name: told["changed"][name] for name in changed} == json.loads(json.dumps(changed))
    assert told["similar"] == {"known": ENDED, "looked": FEWEST, "won": one.compared.won}
    assert told["gaps"] == [*one.unreachable, *(gap.feature.name for gap in one.gaps)]
    parts = [told["base_logit"], *(reason["logit"] for reason in told["reasons"]), told["remainder_logit"]]
    assert 1 / (1 + math.exp(-math.fsum(parts))) == pytest.approx(told["probability"], abs=1e-12)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_terminal_shows_what_the_page_shows(
    line: CommandLine, store: Store, bundle: Bundle, language: Language
) -> None:
    one, view = seen(store, line, bundle, language)
    ran = line("explain", LEAD, "--language", language, width=300)
    assert ran.code == 0, ran.err
    shown = ran.out + ran.err
    assert one.told is not None
    assert one.told.interval is not None
    assert one.told.grade is not None
    assert one.told.grade.conversion is not None
    expected = [
        view["title"],
        percent(one.told.probability),
        *map(percent, one.told.interval),
        percent(one.told.grade.conversion),
        view["handover"]["note"],
        *(reason["text"] for reason in one.told.reasons),
        *(signed(step.logit) for step in view["steps"]),
        *(line for lines in view["evidence"] for line in lines),
        *(text for text, _ in view["fired"]),
        *(part["text"] for part in view["changed"]["parts"]),
        *(field for field, _ in view["gaps"]),
    ]
    for text in expected:
        assert text in shown, text


def test_looking_in_the_terminal_leaves_what_the_pages_remember_alone(line: CommandLine, store: Store) -> None:
    given = current_score(store, LEAD)
    assert given is not None
    line("explain", LEAD)
    with store.reading() as connection:
        keys = {row.key_id for row in connection.execute(VISITS.select().where(VISITS.c.lead_id == LEAD))}
    assert "terminal" in keys
    assert "" not in keys


def test_a_lead_that_nobody_knows_is_refused_with_what_to_do(line: CommandLine) -> None:
    ran = line("explain", "nobody")
    assert ran.code == 2
    assert "import" in ran.err


def test_without_a_store_the_warehouse_is_asked(tmp_path: Path) -> None:
    ran = CommandLine(tmp_path)("explain", "L-1")
    assert ran.code == 2
    assert not list(tmp_path.rglob("store.sqlite"))
