"""Progress: a line per epoch, or nothing."""

from tests.training.tasks import TRAIN, VALIDATION, make_trainer


def test_progress_is_one_line_per_epoch_and_can_be_switched_off(capsys):
    make_trainer(progress=True).fit(TRAIN, VALIDATION, epochs=2)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    assert len(lines) == 2 and lines[0].startswith("epoch   1/2  loss") and "spikes per neuron" in lines[1]
    make_trainer().fit(TRAIN, VALIDATION, epochs=1)
    assert capsys.readouterr().err == ""
