import keras
import numpy as np
import pytest
from conftest import ball_brain

from patchseg import checkpoint
from patchseg.params import Train
from patchseg.training import batches, loop, losses, settling


@pytest.fixture
def sets():
    image, labels = ball_brain((32, 32, 24))
    images = (np.moveaxis(image, 2, 0) / 100).astype(np.float16)
    labels = np.moveaxis(labels, 2, 0)
    return (images[::2], labels[::2]), (images[1::2], labels[1::2])


def test_one_hot_by_hand():
    labels = np.array([[[0, 1], [2, 3]]], np.uint8)
    assert losses.one_hot(labels, background=False)[0].tolist() == [
        [[0, 0, 0], [1, 0, 0]],
        [[0, 1, 0], [0, 0, 1]],
    ]
    assert losses.one_hot(labels, background=True)[0, 0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]


def test_soft_dice_by_hand():
    truth = np.zeros((1, 2, 2, 1), np.float32)
    truth[0, 0] = 1
    assert float(losses.soft_dice(truth, truth)) == 0
    assert float(losses.soft_dice(truth, 1 - truth)) == pytest.approx(1 - 1 / 5)


def test_dice_cross_entropy_is_0_for_a_perfect_answer():
    truth = losses.one_hot(np.array([[[0, 1], [2, 3]]], np.uint8), background=True)
    assert float(losses.dice_cross_entropy(truth, truth)) == pytest.approx(0, abs=1e-5)
    assert float(losses.dice_cross_entropy(truth, np.full_like(truth, 0.25))) > 1


def test_pixels_without_label_count_in_no_loss():
    rng = np.random.default_rng(0)
    labels = np.array([[[0, 1, 255], [2, 3, 255]]], np.uint8)
    for name, (activation, loss) in losses.LOSSES.items():
        truth = losses.one_hot(labels, activation == "softmax")
        predicted = rng.uniform(0.1, 0.9, truth.shape).astype(np.float32)
        other = np.where((labels == 255)[..., None], 0.5, predicted).astype(np.float32)
        assert float(loss(truth, predicted)) == pytest.approx(float(loss(truth, other))), name


def test_a_scribble_counts_as_much_as_a_slice():
    """One labelled pixel of four, and a patch full of labels: the mean of patches, not pixels."""
    labels = np.array([[[1, 255], [255, 255]], [[1, 1], [1, 1]]], np.uint8)
    truth = losses.one_hot(labels, background=True)
    predicted = np.zeros_like(truth)
    predicted[0, ..., 1], predicted[1, ..., 1] = 0.5, 0.25
    predicted[..., 0] = 1 - predicted[..., 1]
    assert float(losses.cross_entropy(truth, predicted)) == pytest.approx(
        (np.log(2) + np.log(4)) / 2, rel=1e-4
    )
    truth, predicted = losses.one_hot(labels, background=False), predicted[..., 1:]
    binary = (np.log(2) + np.log(4)) / 6  # the two other tissues are right
    assert float(losses.binary_cross_entropy(truth, predicted)) == pytest.approx(binary, rel=1e-3)


def test_batches_depend_on_seed_and_epoch_only(sets, train_settings):
    first, again, other = (
        [x for x, _ in batches.batches(*sets[0], train_settings, epoch)] for epoch in (1, 1, 2)
    )
    assert len(first) == 6 and first[0].shape == (4, 32, 32, 1)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_batches_flip_image_and_mask_together(sets, train_settings):
    labels = sets[0][1]
    for x, y in batches.batches((labels > 0).astype(np.float16), labels, train_settings, 0):
        assert np.array_equal(x[..., 0] > 0, y.any(axis=-1))


def run(sets, settings, folder, monkeypatch=None, stop_after=None):
    if stop_after is not None:
        real, calls = loop._save_state, []

        def save_then_die(*arguments):
            real(*arguments)
            calls.append(1)
            if len(calls) == stop_after:
                raise KeyboardInterrupt

        monkeypatch.setattr(loop, "_save_state", save_then_die)
    try:
        return loop.fit(*sets, settings, folder / "model.weights.h5", folder / "state.npz")
    finally:
        if stop_after is not None:
            monkeypatch.undo()


@pytest.mark.parametrize("loss", ["bce", "dice_ce"])
def test_training_learns_the_balls(sets, train_settings, tmp_path, loss):
    settings = train_settings.model_copy(
        update={"loss": loss, "features": 8, "epochs": 6, "steps_per_epoch": 60}
    )
    network, history = run(sets, settings, tmp_path)
    assert history.loss.iloc[-1] < history.loss.iloc[0] / 2
    assert loop.validation_dice(network, *sets[1]).mean() > 0.8


def test_validation_dice_is_of_labels_as_a_result_gets_them():
    class Network:
        def predict(self, x, **_):
            return np.broadcast_to(np.float32([0.3, 0.4, 0.2]), (*x.shape[:3], 3))  # none over 0.5

    labels = np.array([[[2, 2], [255, 0]]], np.uint8)
    images = np.array([[[0.5, 0.5], [0.5, 0.0]]], np.float16)
    found = loop.validation_dice(Network(), images, labels)
    assert found.tolist() == [1, 1, 1]  # all GM, where it is labelled; outside there is nothing


def test_resume_after_a_kill_ends_with_the_same_bytes(
    sets, train_settings, tmp_path, monkeypatch, capsys
):
    _, straight = run(sets, train_settings, tmp_path / "straight")
    assert straight.epoch.tolist() == [1, 2, 3, 4]
    with pytest.raises(KeyboardInterrupt):
        run(sets, train_settings, tmp_path / "killed", monkeypatch, stop_after=2)
    assert (tmp_path / "killed" / "state.npz").exists() and not (
        tmp_path / "killed" / "model.weights.h5"
    ).exists()
    straight_log = capsys.readouterr().out.split("\n")[:5] + [""]
    seen = []
    one_epoch = batches.batches
    for module in (loop, settling):
        monkeypatch.setattr(
            module, "batches", lambda *given: seen.append(given[-1]) or one_epoch(*given)
        )
    _, resumed = run(sets, train_settings, tmp_path / "killed")  # 4: at the end
    assert seen == [2, 3, 4, 4] and capsys.readouterr().out.split("\n") == straight_log
    assert resumed.equals(straight) and straight.learning_rate.is_monotonic_decreasing
    killed, whole = (
        (tmp_path / name / "model.weights.h5").read_bytes() for name in ("killed", "straight")
    )
    assert killed == whole


def test_the_weights_are_the_mean_over_the_second_half(sets, train_settings, tmp_path, monkeypatch):
    seen, step = [], batches.step

    def remembered(network, x, y):
        loss = step(network, x, y)
        seen.append([value.numpy() for value in network.variables])
        return loss

    for module in (loop, settling):
        monkeypatch.setattr(module, "step", remembered)
    monkeypatch.setitem(settling.LAST_LAYER, "steps", 3)
    network, _ = run(sets, train_settings, tmp_path)
    assert len(seen) == 24 + 3  # 4 epochs of 6 batches
    first, last = (
        [names.path for names in network.variables].index(one.path)
        for one in (network.trainable_variables[0], network.trainable_variables[-1])
    )
    kept = network.variables[first].numpy()
    assert kept == pytest.approx(np.mean([one[first] for one in seen[12:24]], axis=0), abs=1e-6)
    assert np.abs(kept - seen[23][first]).max() > 1e-5
    assert np.abs(seen[26][last] - seen[24][last]).max() > 1e-5  # the last layer learned on


def test_measured_statistics_are_those_of_the_weights_as_they_are(sets, train_settings):
    """The first normalisation sees a convolution of the image: its mean is known by hand."""
    network = loop.compiled(loop.architecture_of(train_settings), train_settings)
    learned = [value.numpy() for value in network.trainable_variables]
    settling.measure_statistics(network, sets[0], train_settings)
    first = next(one for one in network.layers if "batch_normalization" in one.name)
    shown = [
        x for x, _ in settling._same_batches(sets[0], train_settings, 3)
    ]  # 12 images, 4 a batch
    before = keras.Model(network.input, first.input)
    means = np.mean([before(x).numpy().mean(axis=(0, 1, 2)) for x in shown], axis=0)
    assert first.moving_mean.numpy() == pytest.approx(means, abs=1e-5) and first.momentum == 0.99
    assert all(map(np.array_equal, learned, network.trainable_variables))


def test_only_the_last_layer_learns_at_the_end_and_the_loss_falls(sets, train_settings):
    network = loop.compiled(loop.architecture_of(train_settings), train_settings)
    before = [value.numpy() for value in network.variables]
    settling.fit_last_layer(network, sets[0], train_settings)
    changed = [
        value.path
        for value, old in zip(network.variables, before, strict=True)
        if not np.array_equal(value, old)
    ]
    last = network.layers[-2]
    assert changed == [value.path for value in last.variables]
    assert all(layer.trainable for layer in network.layers)
    x, y = next(iter(settling._same_batches(sets[0], train_settings, 1)))
    loss = losses.LOSSES[train_settings.loss][1]
    after = float(loss(y, network(x)))
    network.set_weights(before)
    assert after < float(loss(y, network(x)))


def test_a_seed_does_not_depend_on_those_before_it(sets, train_settings, tmp_path):
    base = Train(**train_settings.model_dump(exclude={"seed"}))
    made = {}
    for order in ([0, 1], [1]):
        folder = tmp_path / str(order)
        history = loop.fit_seeds(*sets, base, order, folder, folder / "states")
        assert history.seed.unique().tolist() == order and not list((folder / "states").iterdir())
        made |= {(seed, *order): checkpoint.of_seed(folder, seed).read_bytes() for seed in order}
    assert made[1, 0, 1] == made[1, 1] != made[0, 0, 1]


def test_finished_seeds_are_kept_when_a_later_one_is_killed(
    sets, train_settings, tmp_path, monkeypatch
):
    base = Train(**train_settings.model_dump(exclude={"seed"}))
    epoch, calls = loop._epoch, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 6:  # in the second seed
            raise KeyboardInterrupt
        return epoch(*arguments)

    monkeypatch.setattr(loop, "_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        loop.fit_seeds(*sets, base, [0, 1], tmp_path, tmp_path / "states")
    loop.fit_seeds(*sets, base, [0, 1], tmp_path, tmp_path / "states")
    assert len(calls) == 6 + 3  # the killed epoch and the two after it


ANEW = "a killed run had other code, settings or data: training starts anew"


def test_a_state_of_other_settings_is_not_resumed(
    sets, train_settings, tmp_path, monkeypatch, capsys
):
    with pytest.raises(KeyboardInterrupt):
        run(sets, train_settings, tmp_path, monkeypatch, stop_after=2)
    assert ANEW not in capsys.readouterr().out
    other = train_settings.model_copy(update={"learning_rate": 0.02, "epochs": 2})
    _, history = run(sets, other, tmp_path)
    assert len(history) == 2 and history.learning_rate[0] == pytest.approx(0.02)
    assert capsys.readouterr().out.split("\n")[0] == ANEW


def test_the_state_belongs_to_code_precision_libraries_and_start(
    sets, train_settings, tmp_path, package, monkeypatch
):
    def key(settings=train_settings, start=None):
        return loop._key(*sets, settings, start)

    first = key()
    assert key() == first
    start = tmp_path / "start"
    start.write_bytes(b"weights")
    auto = train_settings.model_copy(update={"precision": "auto"})
    monkeypatch.setattr(loop, "precision", lambda _: "mixed_bfloat16")
    here = key(auto)
    monkeypatch.setattr(loop, "precision", lambda _: "float32")
    assert len({first, key(start=start), key(auto), here}) == 4  # "auto" differs by processor
    monkeypatch.setattr(loop, "versions", lambda *_: {"tensorflow": "1"})
    other = key()
    code = package / "unet.py"
    code.write_text(code.read_text() + "\nADDED = 1\n")
    assert len({first, other, key()}) == 3


def test_resunet_and_bfloat16_train(sets, train_settings, tmp_path):
    settings = train_settings.model_copy(
        update={"network": "resunet", "precision": "mixed_bfloat16", "epochs": 2}
    )
    network, history = run(sets, settings, tmp_path)
    assert np.isfinite(history.loss).all() and network.name == "resunet"
