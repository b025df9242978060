"""Training learns, stops early, and resumes with the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from shared.errors import CheckpointError, HyperparameterError, TrainingError
from shared.hyperparameters import Hyperparameters
from shared.schema import Task
from training import store
from training.checkpoints import Checkpoint, Checkpoints
from training.rows import Rows
from training.store import Stored

if TYPE_CHECKING:
    from training.fit import Trainer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tensorflow")]
SLOTS = (8, 50)
SETTINGS: Mapping[str, Any] = {
    "units": 16, "dropout": 0.3, "l1": 1e-6, "l2": 1e-5, "batch_size": 48, "batch_norm": True,
}  # fmt: skip


def rows(count: int, seed: int, task: Task = "binary") -> Rows:
    random = np.random.default_rng(seed)
    numeric = random.normal(size=(count, 4)).astype(np.float32)
    codes = np.stack([random.integers(2, n, count) for n in SLOTS], axis=1).astype(np.int32)
    worth = numeric[:, 0] - numeric[:, 1] * (codes[:, 0] > 4) + 0.02 * codes[:, 1]
    if task == "regression":
        return Rows(numeric, codes, worth.astype(np.float32))
    if task == "multiclass":
        return Rows(numeric, codes, np.digitize(worth, [-0.5, 1.0]).astype(np.int32))
    return Rows(numeric, codes, (worth > 0.5).astype(np.float32))


def on_disk(rows: Rows) -> Stored:
    """The rows in chunks so small that an epoch has several windows."""
    row = rows.cut(0, 0)
    return store.write([rows], row, rows.target, chunk_bytes=10 * store.row_bytes(row))


def trainer(task: Task = "binary", *, stored: bool = False, **settings: Any) -> Trainer:
    from training import cluster, fit, network

    train, validation = rows(1000, 1, task), rows(300, 2, task)
    shape = network.Shape(
        4,
        network.seen_slots(train.codes, SLOTS),
        3 if task == "multiclass" else 1,
        task,
        network.quantiles(train.numeric),
    )
    chosen = Hyperparameters(**{**SETTINGS, **settings})
    return fit.Trainer(
        network.build(chosen, shape),
        chosen,
        shape,
        train=on_disk(train) if stored else train,
        validation=validation,
        score=lambda _: {},
        cluster=cluster.alone(),
    )


def bits(state: Checkpoint) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in state.arrays.items()}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_loss_falls_for_every_task(task: Task) -> None:
    learner = trainer(task, learning_rate=0.01)
    for _ in range(6):
        learner.run_epoch()
    assert learner.history[-1]["train_loss"] < 0.8 * learner.history[0]["train_loss"]


def test_our_epoch_is_keras_fits_epoch() -> None:
    """Without dropout, from equal weights and in one batch, one step gives what Keras's gives."""
    import keras

    ours = trainer(batch_size=1000, dropout=0.0, batch_norm=False)
    theirs = keras.models.clone_model(ours.model)
    theirs.set_weights(ours.model.get_weights())
    theirs.compile(optimizer=keras.optimizers.Adam(0.001), loss="binary_crossentropy")
    train = rows(1000, 1)
    theirs.fit(
        [train.numeric, train.codes],
        train.target,
        batch_size=1000,
        epochs=1,
        shuffle=False,
        verbose=0,
    )
    ours.run_epoch()
    for a, b in zip(ours.model.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_rows_on_the_disk_teach_as_much_as_rows_in_memory() -> None:
    losses = []
    for stored in (False, True):
        learner = trainer(stored=stored, learning_rate=0.01, batch_norm=False)
        for _ in range(6):
            learner.run_epoch()
        losses.append(learner.best_loss)
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_a_step_learns_from_whole_batches_wherever_the_rows_lie() -> None:
    """21 steps of 48 rows and less, as many as Keras's fit would take."""
    for stored in (False, True):
        learner = trainer(stored=stored)
        learner.learn()
        steps = [a for n, a in learner.state().arrays.items() if n == "optimizer/0"]
        assert steps == [21]


@pytest.mark.parametrize(
    ("embedding", "width"), [("none", 1), ("piecewise_linear", 16), ("periodic", 8)]
)
@pytest.mark.parametrize("members", [1, 4])
def test_slots_never_seen_still_add_nothing_after_training(
    embedding: str, width: int, members: int
) -> None:
    options = {"numeric_embedding": embedding, "numeric_bins": 16, "ensemble": members}
    learner = trainer(batch_norm=False, **options)
    for _ in range(3):
        learner.run_epoch()
    assert not learner.model.get_layer("embedding_1").weights[0].numpy()[:2].any()
    assert not learner.model.get_layer("hidden_1").kernel.numpy()[4 * width :][:2].any()


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam"},
        {"optimizer": "adam", "stored": True},
        {"optimizer": "nadam", "schedule": "cosine", "epochs": 4},
        {"optimizer": "sgd", "numeric_embedding": "piecewise_linear"},
        {"schedule": "plateau", "patience": 2, "learning_rate": 0.1},
        {"numeric_embedding": "periodic", "class_weights": "balanced", "label_smoothing": 0.1},
        {"ensemble": 4},
    ],
    ids=lambda settings: " ".join(f"{value}" for value in settings.values()),
)
def test_a_run_resumed_from_its_checkpoint_ends_with_the_same_bits(
    settings: Mapping[str, Any], tmp_path: Path
) -> None:
    whole = trainer(**settings)
    for _ in range(4):
        whole.run_epoch()
    first = trainer(**settings)
    for _ in range(2):
        first.run_epoch()
    kept = Checkpoints(str(tmp_path), "job", print)
    kept.save(first.state(), first.best_epoch, first.val_losses[-1])
    found = kept.latest()
    assert found is not None
    resumed = trainer(**settings)
    resumed.restore(found)
    for _ in range(2):
        resumed.run_epoch()
    assert bits(resumed.state()) == bits(whole.state())
    assert resumed.history == whole.history
    assert resumed.best_epoch == whole.best_epoch


def test_a_run_resumed_without_the_dropout_generators_would_differ() -> None:
    """So the test above proves something: .keras files leave them out, and the bits change."""
    whole = trainer()
    for _ in range(2):
        whole.run_epoch()
    first = trainer()
    first.run_epoch()
    state = first.state()
    resumed = trainer()
    fresh = resumed.state().arrays
    generators = [
        f"model/{i}" for i, v in enumerate(first.model.variables) if "seed_generator" in v.path
    ]
    assert generators
    arrays = {n: fresh[n] if n in generators else array for n, array in state.arrays.items()}
    resumed.restore(Checkpoint(state.epoch, arrays, state.values))
    resumed.run_epoch()
    assert bits(resumed.state()) != bits(whole.state())


def test_training_stops_early_and_keeps_the_best_weights() -> None:
    from training import fit

    learner = trainer(learning_rate=0.05, dropout=0.0, l1=0.0, l2=0.0, units=64)
    fit.fit(learner, 60, 3, lambda _: True)
    assert learner.epochs < 60
    assert learner.epochs == learner.best_epoch + 3
    loss, _ = learner.measure(rows(300, 2))
    assert loss == learner.history[learner.best_epoch - 1]["val_loss"] == learner.best_loss


@pytest.mark.parametrize("schedule", ["constant", "cosine", "plateau"])
def test_each_epoch_says_the_learning_rate_that_it_ended_with(schedule: str) -> None:
    learner = trainer(schedule=schedule, epochs=4, learning_rate=0.004)
    rates = [learner.run_epoch()["learning_rate"] for _ in range(3)]
    state = learner.state().arrays
    assert np.float32(rates[-1]) in [a for n, a in state.items() if n.startswith("optimizer/")]
    assert rates[0] == pytest.approx(0.004) or schedule == "cosine"
    assert (rates[2] < rates[1] < rates[0] < 0.004) == (schedule == "cosine")


def test_a_member_learns_what_it_would_have_learnt_alone() -> None:
    """Given the weights of one member, a network of its own takes the same steps."""
    options = {"numeric_embedding": "none", "embedding_dim": 64, "batch_norm": False, "dropout": 0}
    ensemble = trainer(units=64, ensemble=4, **options)
    alone = trainer(units=16, ensemble=1, **options)

    def part(member: int) -> list[Any]:
        """The member's own weights, as the network of its own has them."""
        found = []
        for name in ("hidden_1", "hidden_2", "last"):
            kernel, bias = ensemble.model.get_layer(name).get_weights()
            own = slice(16 * member, 16 * member + 16)
            found += [kernel[member] if kernel.ndim == 3 else kernel[:, own]]
            found += [bias[member] if bias.ndim == 2 else bias[own]]
        return found

    alone.model.set_weights(part(2))
    for learner in (ensemble, alone):
        learner.run_epoch()
    for ours, theirs in zip(part(2), alone.model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_balanced_classes_count_the_same_as_scikit_learn_weighs_them() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    from training import network

    for task, answer in (("binary", [[0.3]]), ("multiclass", [[0.1, 0.4, -1.0]])):
        target = rows(1000, 1, task).target  # type: ignore[arg-type]
        chosen = Hyperparameters(class_weights="balanced")
        logits = np.repeat(np.array(answer, dtype=np.float32), len(target), axis=0)
        ours = network.training_losses(chosen, task, target)(target, logits)  # type: ignore[arg-type]
        plain = network.losses(task)(target, logits)  # type: ignore[arg-type]
        weights = compute_class_weight("balanced", classes=np.unique(target), y=target)
        np.testing.assert_allclose(ours, plain * weights[target.astype(int)], rtol=1e-5)


def test_label_smoothing_is_kerass() -> None:
    import keras

    from training import network

    chosen = Hyperparameters(label_smoothing=0.2)
    target, answer = np.array([0, 1], np.float32), np.array([[0.5], [-2.0]], np.float32)
    ours = network.training_losses(chosen, "binary", target)(target, answer)
    theirs = keras.losses.BinaryCrossentropy(True, 0.2, reduction=None)(target[:, None], answer)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    codes, answers = np.array([0, 2], np.int32), np.array([[1, 2, 3], [0, 5, 1]], np.float32)
    ours = network.training_losses(chosen, "multiclass", codes)(codes, answers)
    theirs = keras.losses.CategoricalCrossentropy(True, 0.2, reduction=None)(
        np.eye(3, dtype=np.float32)[codes], answers
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("settings", [{"class_weights": "balanced"}, {"label_smoothing": 0.1}])
def test_a_regression_has_no_classes_to_weigh_or_to_smooth(settings: Mapping[str, Any]) -> None:
    with pytest.raises(HyperparameterError, match=f"{next(iter(settings))}.*no classes"):
        trainer("regression", **settings)


def test_the_caller_may_end_training() -> None:
    from training import fit

    learner = trainer()
    fit.fit(learner, 10, 10, lambda t: t.epochs < 2)
    assert learner.epochs == 2


def test_a_loss_that_is_not_finite_is_a_clear_error() -> None:
    from training import fit

    learner = trainer("regression", optimizer="sgd", learning_rate=10.0, batch_norm=False)
    with pytest.raises(TrainingError, match=r"diverged in epoch \d.*Lower learning_rate \(it was"):
        fit.fit(learner, 20, 20, lambda _: True)


def test_a_weight_that_no_validation_row_uses_is_looked_at_too() -> None:
    learner = trainer()
    table = learner.model.get_layer("embedding_1").weights[0]
    values = table.numpy()
    values[0] = np.inf  # the slot of unknown levels, which no row has
    table.assign(values)
    with pytest.raises(TrainingError, match=r"epoch 1.*val_loss 0\.\d+; embedding_1/embeddings"):
        learner.run_epoch()


def test_another_networks_checkpoint_is_refused() -> None:
    with pytest.raises(CheckpointError, match="another network's"):
        trainer().restore(trainer(units=8).state())
