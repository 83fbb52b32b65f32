"""The comparison of engines sees every difference that matters, and no other."""

import pytest

from eventsnn.losses import MaxVoltage
from eventsnn.testing import LOSSES, TOPOLOGIES, EngineMismatch, compare_engines, random_case
from eventsnn.testing import engines as module


@pytest.mark.parametrize("seed", [101774, 102290])
def test_engines_agree_where_a_loss_on_a_maximum_has_gradients_of_exactly_zero(seed):
    case = random_case(seed, loss=LOSSES[seed % 6], topology=TOPOLOGIES[seed // 6 % 5])
    assert isinstance(case.loss, MaxVoltage)
    assert compare_engines(*case[:4], loss=case.loss, duration=case.duration).n_spikes > 0


def test_compare_engines_sees_a_wrong_gradient(monkeypatch):
    case = random_case(1, loss="mean")
    right = module.value_and_grad

    def wrong(*args, **kwargs):
        value, gradients, times, recording = right(*args, **kwargs)
        if kwargs["engine"] == "compiled":
            gradients["hidden->out.weight" if "hidden->out.weight" in gradients else next(iter(gradients))] *= 1 + 1e-7
        return value, gradients, times, recording

    assert compare_engines(*case[:4], loss=case.loss, duration=case.duration).gradient_error < 1e-8
    monkeypatch.setattr(module, "value_and_grad", wrong)
    with pytest.raises(EngineMismatch) as caught:
        compare_engines(*case[:4], loss=case.loss, duration=case.duration)
    assert caught.value.what in case.parameters and not caught.value.comparison.ill_conditioned


@pytest.mark.parametrize(("change", "what"), [("times", "times"), ("neurons", "spikes"), ("drop", "spikes")])
def test_compare_engines_sees_a_wrong_spike(monkeypatch, change, what):
    cases = (random_case(seed, loss="mean", topology="recurrent") for seed in range(100))
    case = next(case for case in cases if case.network.populations["hidden"].n > 1)
    right = module.value_and_grad

    def wrong(*args, **kwargs):
        result = right(*args, **kwargs)
        recording = result[-1]
        if kwargs["engine"] == "compiled":
            recording._order.clear()
            if change == "times":
                recording.times[0] += 2e-9
            elif change == "neurons":
                recording.neurons[0] += 1 if recording.neurons[0] == recording.slices["hidden"][0] else -1
            else:
                recording.offsets[1:] -= 1
        return result

    monkeypatch.setattr(module, "value_and_grad", wrong)
    with pytest.raises(EngineMismatch) as caught:
        compare_engines(*case[:4], loss=case.loss, duration=case.duration)
    assert caught.value.what == what
