"""The report says what was found, escapes it, and needs nothing else."""

import re

from shared.hyperparameters import Hyperparameters
from training import report
from training.evaluation import diagnose
from training.tuning import Trial

SETTINGS = Hyperparameters(epochs=10, l2=1e-4, dropout=0.2, units=64)
OVERFIT = [
    {"train_loss": t, "val_loss": v} for t, v in [(0.6, 0.62), (0.5, 0.55), (0.4, 0.6), (0.3, 0.7)]
]


def test_the_report_is_one_page_that_needs_nothing_else() -> None:
    trials = [
        Trial(0, {"dropout": 0.2, "activation": "relu"}, "finished", ((0.5, 0.7), (0.4, 0.5))),
        Trial(1, {"dropout": 0.4, "activation": "relu"}, "finished", ((0.6, 0.6), (0.5, 0.5))),
        Trial(2, {"dropout": 0.4, "activation": "<x>"}, "failed", (), "the loss is <not> finite"),
    ]
    page = report.html(
        report.Content(
            title="fruit & more",
            facts={"rows": "10 training", "weights": 12345},
            scores={"test": {"auc": 0.71234}},
            baseline={"test": {"auc": 0.5}},
            caution="Scores on 5 test rows say little.",
            history=OVERFIT,
            diagnosis=diagnose(OVERFIT, SETTINGS, 10),
            trials=trials,
            importance={"dropout": 0.75, "activation": 0.25},
            hyperparameters={"dropout": 0.2, "units": "auto"},
            resolved={"units": 64},
        )
    )
    assert "<title>fruit &amp; more" in page
    assert page.count("<polyline") == 4
    assert '<td class="n">0.45</td><td class="n">0.05</td>' in page
    assert "<td>dropout</td><td>75%</td>" in page
    assert "<x>" not in page
    assert "0.71234" in page
    assert "<p>Scores on 5 test rows say little.</p>" in page
    assert "<th>units</th><td>auto: 64</td>" in page
    assert "<th>weights</th><td>12,345</td>" in page
    assert '<td>test, always the same answer</td><td class="n">0.5</td>' in page
    assert "over-fits from epoch 3 on" in page
    assert "the loss is &lt;not&gt; finite" in page
    assert not re.search(r"<script|https?://(?!www\.w3\.org)|src=|@import|url\(", page)
