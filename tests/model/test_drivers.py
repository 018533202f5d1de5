"""Drivers are the contributions that single leads are explained by, grouped, averaged and told in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from features.catalogue import build_catalogue
from features.spoken import GROUP_WORDS, group_words
from features.words import EVENT_TYPES
from tests.model.reported import bundle_in
from tests.model.rows import synthetic_rows
from training.evaluation.drivers import driver_changes, measure_drivers, strongest

if TYPE_CHECKING:
    from pathlib import Path

    from training.bundles.bundle import Bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_in(tmp_path_factory.mktemp("sealed") / "bundle")


def test_a_drivers_strength_is_the_mean_of_what_single_leads_are_told(bundle: Bundle) -> None:
    frame = synthetic_rows(2000, seed=0).frame.head(60)
    answers = [
        bundle.answer_values({str(name): None if pd.isna(value) else value for name, value in row.items()})
        for row in frame.to_dict("records")
    ]
    found = measure_drivers(bundle, frame)
    for driver in found.drivers:
        by_hand = np.mean([abs(answer.groups[driver.group]) for answer in answers])
        assert driver.strength == pytest.approx(by_hand, abs=1e-9)
    assert sum(driver.share for driver in found.drivers) == pytest.approx(1)
    assert [d.strength for d in found.drivers] == sorted((d.strength for d in found.drivers), reverse=True)


def test_values_that_raise_and_lower_are_those_of_their_leads(bundle: Bundle) -> None:
    frame = synthetic_rows(2000, seed=0).frame
    found = {driver.group: driver for driver in measure_drivers(bundle, frame).drivers}
    # Rows were drawn so that webinars win; the effect told is the mean over the leads that came by one.
    best = found["source"].raises[0]
    assert best.words.en == "webinar"
    assert best.rows == int((frame["source"] == "webinar").sum())
    rows = frame[frame["source"] == "webinar"].head(50).to_dict("records")
    told = [
        bundle.answer_values({str(k): None if pd.isna(v) else v for k, v in row.items()}).groups["source"]
        for row in rows
    ]
    # The trees' part differs from lead to lead, so that fifty of them come near the mean of all.
    assert np.mean(told) == pytest.approx(best.effect, abs=0.05)
    assert all(band.effect > 0 for driver in found.values() for band in driver.raises)
    assert all(band.effect < 0 for driver in found.values() for band in driver.lowers)


def test_what_is_noise_is_the_weakest_driver(bundle: Bundle) -> None:
    groups = [driver.group for driver in measure_drivers(bundle, synthetic_rows(2000, seed=4).frame).drivers]
    assert groups[-1] == "noise"


def test_features_that_the_data_lack_count_as_missing_and_are_told(bundle: Bundle) -> None:
    frame = synthetic_rows(300, seed=0).frame
    whole, without = measure_drivers(bundle, frame), measure_drivers(bundle, frame.drop(columns="source"))
    assert (whole.absent, without.absent) == (0, 1)
    emptied = measure_drivers(bundle, frame.assign(source=None))
    assert without.share("source") == pytest.approx(emptied.share("source"))
    assert measure_drivers(bundle, frame.head(0)).drivers == ()


def test_another_model_on_the_same_leads_changes_drivers_and_the_same_one_does_not(
    bundle: Bundle, tmp_path: Path
) -> None:
    frame = synthetic_rows(1000, seed=0).frame
    mine = measure_drivers(bundle, frame)
    assert driver_changes(mine, mine) == ()
    without = measure_drivers(bundle, frame.assign(source=None, size=np.nan))
    changes = driver_changes(mine, without)
    assert {change.words.en for change in changes if change.rose} & {"source", "size", "where the lead came from"}
    assert all(abs(change.now - change.before) >= 0.01 for change in changes)
    assert len(strongest(mine, 2)) == 2
    assert tmp_path.exists()


def test_every_group_of_the_catalogue_has_words_in_both_languages() -> None:
    catalogue = build_catalogue(event_types=list(EVENT_TYPES), treatments=True)
    groups = {feature.group for feature in catalogue.features}
    assert groups <= set(GROUP_WORDS)
    for group in groups:
        words = group_words(catalogue, group)
        assert words.en
        assert any("\u4e00" <= letter <= "\u9fff" for letter in words.zh), group
    own = build_catalogue(event_types=["odd_thing"], custom={"erp_name": "categorical"})
    assert group_words(own, "custom_erp_name") == own.feature("custom_erp_name").label
    assert group_words(own, "odd_thing").en == "odd thing"
