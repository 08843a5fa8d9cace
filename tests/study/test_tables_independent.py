# SPDX-License-Identifier: Apache-2.0
"""Every number of the tables, computed again from the files with pandas, SciPy and scikit-learn."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.integrate import quad
from sklearn.metrics import average_precision_score, top_k_accuracy_score

from tests.study.drawn_results import NETWORKS, SEEDS, Drawn, draw_results
from veilset.study.evaluate import evaluate
from veilset.study.plan import Study

EVALUATE = {
    "original": ("original", "blurred"),
    "blurred": ("blurred", "original"),
    "overlaid": ("overlaid",),
}
METRICS = {"top1": "Top-1 accuracy", "top5": "Top-5 accuracy"}
ROLES = {"released": "blurred", "per_face": "overlaid", "overlay": "overlaid"}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    drawn = Drawn(evaluate=EVALUATE, options={"roles": ROLES})
    return draw_results(tmp_path_factory.mktemp("drawn"), drawn)


@pytest.fixture(scope="module")
def results(study) -> dict[str, Any]:
    found = evaluate(study)
    # It is a file of plain numbers: no NaN, nothing that JSON does not know.
    again: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    return again


@pytest.fixture(scope="module")
def frame(study) -> pd.DataFrame:
    """One row for each image of each file of predictions, with scikit-learn's idea of right."""
    parts = []
    for path in sorted((study.folder / "predictions").glob("*/*.parquet")):
        network, trained, seed = path.parent.name.split(".")
        given = pd.read_parquet(path)
        scores = np.stack(given["scores"].to_numpy())
        order = np.argsort(-scores, axis=1, kind="stable")
        given["top1"] = order[:, 0] == given["label"]
        given["top5"] = (order[:, :5] == given["label"].to_numpy()[:, None]).any(axis=1)
        given["network"], given["trained"], given["seed"] = network, trained, int(seed[1:])
        given["evaluated"] = path.stem
        parts.append(given.drop(columns=["top", "loss"]))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def tables(results) -> dict[str, list[dict[str, Any]]]:
    return {table["name"]: table["rows"] for table in results["tables"]}


def _by_seed(frame, metric, trained, evaluated, network=None) -> pd.Series:
    chosen = frame[(frame.trained == trained) & (frame.evaluated == evaluated)]
    if network is not None:
        chosen = chosen[chosen.network == network]
    return chosen.groupby(["network", "seed"])[metric].mean().groupby("seed").mean()


def test_ranks_are_those_of_scikit_learn(study, frame):
    some = frame[(frame.network == "small") & (frame.seed == 1) & (frame.trained == "blurred")]
    for _, part in some.groupby("evaluated"):
        scores = np.stack(part["scores"].to_numpy())
        # scikit-learn gives ties to the higher class: only without ties they agree.
        apart = scores + 1e-4 * np.arange(scores.shape[1])[::-1]
        expected = top_k_accuracy_score(part["label"], apart, k=5)
        assert part["top5"].mean() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("table", "questions"),
    [
        ("table_3", {"blurred": ("blurred", "blurred"), "overlaid": ("overlaid", "overlaid")}),
        ("table_7", {"blurred": ("original", "blurred")}),
        ("table_8", {"blurred": ("blurred", "original")}),
    ],
)
def test_accuracies_their_errors_and_drops(tables, frame, table, questions):
    rows = {row["network"]: row for row in tables[table]}
    metrics = ["top5"] if table == "table_7" else list(METRICS)
    assert list(rows) == [*NETWORKS, "Average"]
    for metric, network in product(metrics, NETWORKS):
        before = _by_seed(frame, metric, "original", "original", network)
        cell = rows[network][f"{metric}.original"]
        assert cell["mean"] == pytest.approx(before.mean(), abs=1e-12)
        assert cell["sem"] == pytest.approx(stats.sem(before, ddof=1), abs=1e-12)
        assert cell["n"] == len(SEEDS)
        for setting, question in questions.items():
            after = _by_seed(frame, metric, question[0], question[1], network)
            cell = rows[network][f"{metric}.{setting}"]
            assert cell["mean"] == pytest.approx(after.mean(), abs=1e-12)
            assert cell["sem"] == pytest.approx(stats.sem(after, ddof=1), abs=1e-12)
            drop = rows[network][f"{metric}.{setting}.drop"]
            assert drop == pytest.approx(before.mean() - after.mean(), abs=1e-12)
    for metric, (setting, question) in product(metrics, questions.items()):
        average = rows["Average"]
        assert average[f"{metric}.{setting}"]["sem"] is None
        means = [
            _by_seed(frame, metric, question[0], question[1], network).mean()
            for network in NETWORKS
        ]
        assert average[f"{metric}.{setting}"]["mean"] == pytest.approx(np.mean(means))
        before = _by_seed(frame, metric, "original", "original").mean()
        assert average[f"{metric}.{setting}.drop"] == pytest.approx(before - np.mean(means))


def _power(shift: float, n: int) -> float:
    """Integrate over the spread: how often a t test of n finds a mean so many errors from 0."""
    critical = stats.t.ppf(0.975, n - 1)

    def part(variance: float) -> float:
        reach = critical * np.sqrt(variance / (n - 1))
        seen = stats.norm.sf(reach - shift) + stats.norm.cdf(-reach - shift)
        return float(seen * stats.chi2.pdf(variance, n - 1))

    return float(quad(part, 0, np.inf, epsabs=1e-10)[0])


def _error_over_images(frame, metric, trained, evaluated, network) -> float:
    """The closed form of what the bootstrap within classes draws."""
    chosen = frame if network is None else frame[frame.network == network]
    right = {
        question: chosen[(chosen.trained == question[0]) & (chosen.evaluated == question[1])]
        .groupby(["label", "image_id"])[metric]
        .mean()
        for question in (("original", "original"), (trained, evaluated))
    }
    lost = right["original", "original"] - right[trained, evaluated]
    sums = lost.groupby("label").agg(lambda each: len(each) * each.var(ddof=0)).sum()
    return float(np.sqrt(sums) / len(lost))


def test_drops_their_intervals_and_tests(tables, frame):
    assert len(tables["drops"]) == 4 * 2 * (len(NETWORKS) + 1)
    for row in tables["drops"]:
        metric = next(key for key, name in METRICS.items() if name == row["metric"])
        network = None if row["network"] == "Average" else row["network"]
        before = _by_seed(frame, metric, "original", "original", network)
        after = _by_seed(frame, metric, row["trained"], row["evaluated"], network)
        test = stats.ttest_rel(before, after)
        interval = test.confidence_interval(0.95)
        assert row["drop"] == pytest.approx((before - after).mean(), abs=1e-12)
        assert row["p"] == pytest.approx(test.pvalue)
        ends = row["over_trainings"]
        assert (ends["low"], ends["high"]) == pytest.approx((interval.low, interval.high))
        assert (row["n_seeds"], row["n_images"]) == (3, 210)
        # Were there such a drop, this test would find it 4 times of 5.
        error = stats.sem(before - after)
        assert _power(row["detectable_trainings"] / error, 3) == pytest.approx(0.8, abs=1e-6)
        if network in (None, "small"):
            error = _error_over_images(frame, metric, row["trained"], row["evaluated"], network)
            assert row["detectable_images"] == pytest.approx(2.8016 * error, rel=0.1)
            low, high = _bootstrap(frame, metric, row["trained"], row["evaluated"], network)
            assert row["over_images"]["low"] == pytest.approx(low, abs=0.01)
            assert row["over_images"]["high"] == pytest.approx(high, abs=0.01)
        both = [row["over_trainings"], row["over_images"]]
        is_resolved = all(each["low"] > 0 or each["high"] < 0 for each in both)
        assert row["resolved"] == ("yes" if is_resolved else "no")


def _bootstrap(frame, metric, trained, evaluated, network) -> tuple[float, float]:
    """Draw the images themselves, one by one, within each class."""
    rng = np.random.default_rng(99)

    def right(trained: str, evaluated: str) -> pd.Series:
        chosen = frame[(frame.trained == trained) & (frame.evaluated == evaluated)]
        chosen = chosen if network is None else chosen[chosen.network == network]
        return chosen.groupby("image_id", sort=True)[metric].mean()

    e = (right("original", "original") - right(trained, evaluated)).to_numpy().reshape(7, 30)
    drawn = rng.integers(0, 30, size=(2000, 7, 30))
    means = e[np.arange(7)[None, :, None], drawn].mean(axis=(1, 2))
    low, high = np.quantile(means, (0.025, 0.975))
    return low, high


def test_corrected_p_values_are_those_of_holm_within_a_metric_and_kind(tables):
    rows = pd.DataFrame(tables["drops"])
    rows["kind"] = np.select(
        [rows.trained == rows.evaluated, rows.trained == "original"], ["3", "7"], "8"
    )
    for _, family in rows.groupby(["kind", "metric"]):
        p = family.p.sort_values()
        steps = np.minimum(p.to_numpy() * np.arange(len(p), 0, -1), 1)
        expected = pd.Series(np.maximum.accumulate(steps), index=p.index)
        assert family.p_holm.to_numpy() == pytest.approx(expected[family.index].to_numpy())


def _facts(study: Study) -> pd.DataFrame:
    facts = pd.read_parquet(study.folder / "facts" / "images.parquet")
    return facts[facts.split == "val"].set_index("image_id")


def test_drops_on_images_with_and_without_faces(study, tables, frame):
    facts = _facts(study)
    groups = {
        "all": facts.index,
        "with faces": facts.index[(facts.status == "looked") & (facts.n_faces > 0)],
        "without faces": facts.index[(facts.status == "looked") & (facts.n_faces == 0)],
        "not searched": facts.index[facts.status != "looked"],
    }
    values: dict[tuple[str, str, str], float] = {}
    for row in tables["faces"]:
        metric = next(key for key, name in METRICS.items() if name == row["metric"])
        key = (row["setting"], metric)
        if row["images"] == "with minus without":
            expected = values[(*key, "with faces")] - values[(*key, "without faces")]
            assert row["n_images"] == 126 + 42
        else:
            chosen = frame[frame.image_id.isin(groups[row["images"]])]
            before = _by_seed(chosen, metric, "original", "original")
            after = _by_seed(chosen, metric, row["setting"], row["setting"])
            expected = values[(*key, row["images"])] = (before - after).mean()
            assert row["p"] == pytest.approx(stats.ttest_rel(before, after).pvalue)
            assert row["n_images"] == len(groups[row["images"]])
        assert row["drop"] == pytest.approx(expected, abs=1e-12)


def _category_means(frame, trained, column) -> pd.DataFrame:
    """Categories by seeds, mean over networks."""
    chosen = frame[(frame.trained == trained) & (frame.evaluated == trained)]
    return chosen.groupby(["label", "seed"])[column].mean().unstack()


def test_accuracies_of_categories(tables, frame):
    for metric, setting in product(METRICS, ("blurred", "overlaid")):
        before = _category_means(frame, "original", metric)
        after = _category_means(frame, setting, metric)
        for k, row in enumerate(tables["categories"]):
            cell = row[f"{metric}.{setting}"]
            assert cell["mean"] == pytest.approx(after.loc[k].mean())
            assert cell["sem"] == pytest.approx(stats.sem(after.loc[k]), abs=1e-12)
            expected = before.loc[k].mean() - after.loc[k].mean()
            assert row[f"{metric}.{setting}.drop"] == pytest.approx(expected, abs=1e-12)


def test_drops_of_categories_with_their_intervals(tables, frame):
    rows = pd.DataFrame(tables["category_drops"])
    assert [*rows.groupby("setting").size()] == [rows.category.nunique()] * 2
    for setting, family in rows.groupby("setting"):
        before = _category_means(frame, "original", "top1")
        after = _category_means(frame, setting, "top1")
        for k, (_, row) in enumerate(family.iterrows()):
            drops = before.loc[k] - after.loc[k]
            assert row["drop"] == pytest.approx(drops.mean(), abs=1e-12)
            assert row["p"] == pytest.approx(stats.ttest_1samp(drops, 0).pvalue)
            low, high = stats.t.interval(0.95, len(drops) - 1, drops.mean(), stats.sem(drops))
            assert row["over_trainings"] == pytest.approx({"low": low, "high": high})
            images = _image_means(frame, k, "original") - _image_means(frame, k, setting)
            assert row["n_images"] == len(images)
            margin = 1.96 * images.std(ddof=0) / np.sqrt(len(images))
            assert row["over_images"]["low"] == pytest.approx(drops.mean() - margin, abs=margin / 5)
            assert row["over_images"]["high"] == pytest.approx(
                drops.mean() + margin, abs=margin / 5
            )
        p = family.p.sort_values()
        steps = np.minimum(p.to_numpy() * np.arange(len(p), 0, -1), 1)
        expected = pd.Series(np.maximum.accumulate(steps), index=p.index)
        assert family.p_holm.to_numpy() == pytest.approx(expected[family.index].to_numpy())


def _image_means(frame, label, trained) -> pd.Series:
    """Images of a category, mean over networks and seeds."""
    chosen = frame[
        (frame.trained == trained) & (frame.evaluated == trained) & (frame.label == label)
    ]
    return chosen.groupby("image_id").top1.mean()


def test_average_precisions_of_categories_over_logits(tables, frame):
    chosen = frame[(frame.trained == "blurred") & (frame.evaluated == "blurred")]
    found = {}
    for (network, seed), part in chosen.groupby(["network", "seed"]):
        scores = np.stack(part["scores"].to_numpy())
        for k in range(7):
            found[network, seed, k] = average_precision_score(part["label"] == k, scores[:, k])
    for k, row in enumerate(tables["categories"]):
        by_seed = [np.mean([found[network, seed, k] for network in NETWORKS]) for seed in SEEDS]
        assert row["ap.blurred"]["mean"] == pytest.approx(np.mean(by_seed))
        assert row["ap.blurred"]["sem"] == pytest.approx(stats.sem(by_seed))


def test_correlations_and_bins(study, results, tables, frame):
    facts = _facts(study)
    share = facts[facts.status == "looked"].groupby("label").obfuscated_share.mean()
    for row in tables["correlations"]:
        metric = next(key for key, name in METRICS.items() if name == row["metric"])
        before = _category_means(frame, "original", metric).mean(axis=1)
        drop = before - _category_means(frame, row["setting"], metric).mean(axis=1)
        expected = stats.pearsonr(share, drop)
        assert row["r"] == pytest.approx(expected.statistic)
        assert row["p"] == pytest.approx(expected.pvalue)
        assert row["rank"] == pytest.approx(
            stats.spearmanr(share.round(12), drop.round(12)).statistic
        )
        bins = results["figures"][f"figure_3.{row['setting']}"]["bins"]
        for each in bins:
            inside = drop[(share >= each["low"]) & (share < each["high"])]
            assert each["n"] == len(inside)
            if len(inside):
                assert each[metric]["mean"] == pytest.approx(inside.mean())
                expected = stats.t.interval(0.95, len(inside) - 1, inside.mean(), stats.sem(inside))
                assert (each[metric]["low"], each[metric]["high"]) == pytest.approx(expected)


def test_images_with_faces_of_each_category(study, results):
    facts = pd.read_parquet(study.folder / "facts" / "images.parquet")
    looked = facts[facts.status == "looked"]
    shares = looked.assign(has=looked.n_faces > 0).groupby("label").has.agg(["mean", "size"])
    for each in results["figures"]["figure_2"]["categories"]:
        mean, size = shares.loc[int(each["category"].removeprefix("class"))]
        assert (each["share"], each["n"]) == (pytest.approx(mean), size)
        interval = stats.binomtest(round(mean * size), int(size)).proportion_ci(method="wilson")
        assert (each["low"], each["high"]) == pytest.approx((interval.low, interval.high))
    counts = looked[looked.n_faces > 0].n_faces.value_counts().sort_index()
    assert dict(results["figures"]["figure_2"]["images_by_faces"]) == counts.to_dict()


def test_contrasts_of_small_faces(study, tables, frame):
    facts = _facts(study)

    def right(setting: str, group: str) -> float:
        chosen = frame[(frame.trained == setting) & (frame.evaluated == setting)]
        members = chosen.image_id.isin(facts.index[facts.group == group])
        return float(chosen[members].top1.mean())

    rows = {
        row["question"]: row
        for row in tables["small_faces"]
        if row["cut"] == 0.25 and row["metric"] == "Top-1 accuracy"
    }
    groups = ("one", "alike", "small-beside-large")
    costs = {group: right("blurred", group) - right("overlaid", group) for group in groups}
    for group, cost in costs.items():
        assert rows[f"C1, {group}"]["value"] == pytest.approx(cost)
        assert rows[f"C1, {group}"]["n_images"] == (facts.group == group).sum()
    assert rows["C2"]["value"] == pytest.approx(costs["small-beside-large"] - costs["one"])
    counts = {group: (facts.group == group).sum() for group in groups}
    whole = sum(costs[group] * counts[group] for group in groups)
    part = costs["small-beside-large"] * counts["small-beside-large"]
    assert rows["share explained"]["value"] == pytest.approx(part / whole)


def test_measurements_are_the_averages_with_their_intervals(results, tables):
    averages = [row for row in tables["drops"] if row["network"] == "Average"]
    assert len(results["measurements"]) == 2 * len(averages)
    for row, each in zip(np.repeat(averages, 2), results["measurements"], strict=True):
        assert each["value"] == row["drop"]
        assert each["low"] <= each["value"] <= each["high"]
        assert each["n"] in (row["n_seeds"], row["n_images"])


def test_the_published_average_row_follows_from_the_published_rows():
    from veilset.study.paper import paper_rows

    released = pd.DataFrame(
        {
            network: {key: cell["value"] for key, cell in row.items()}
            for network, row in paper_rows("table_3_released").items()
        }
    ).T
    means = released.drop(index="average").mean()
    assert means.to_numpy() == pytest.approx(released.loc["average"].to_numpy(), abs=6e-4)
