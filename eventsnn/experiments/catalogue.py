"""The numbers of each preset, as a TOML file would hold them; "base" names the one that it starts from."""

from typing import Any

_SPOKEN_DIGITS: dict[str, Any] = {
    "name": "spoken-digits",
    "description": "English spoken digits, unheard speakers: recurrent network with learned delays",
    "data": {"source": "spoken-digits", "merge": 10, "validation_groups": [3]},
    "network": {
        "hidden": [128],
        "recurrent": True,
        "tau_mem": 20.0,
        "tau_syn": 10.0,
        "output_tau_mem": 20.0,
        "output_tau_syn": 10.0,
        # nearly as wide as they become: narrower ones cost the first epochs
        "input_weight": [0.006, 0.03],
        "recurrent_weight": [0.0, 0.03],
        "output_weight": [0.0, 1.0],
        "input_delay": [0.0, 200.0],
        "recurrent_delay": [1.0, 100.0],
    },
    "loss": {"kind": "exponential_mean_voltage"},
    "optimizer": {
        "learning_rate": 2e-3,
        "delay_learning_rate": 1.0,
        "output_learning_rate": 3e-2,
        "schedule": "cosine",
        "final": 0.05,
    },
    "training": {
        "epochs": 30,
        "batch_size": 16,
        "average": 0.995,
        "monitor": "loss",
        "spike_target": 14.0,
        "spike_strength": 1e-5,
    },
    # the channels are merged before: 4 of them are 40 of the 700
    "augmentation": {"blend": 0.4, "channel_shift": 4, "time_scale": 0.15, "spike_drop": 0.5, "gain": 0.2},
}
_SPOKEN_DIGITS_QUICK: dict[str, Any] = {
    "base": "spoken-digits",
    "name": "spoken-digits-quick",
    "description": "the same in about a minute: 32 hidden neurons, 70 channels, 8 epochs",
    "network": {"hidden": [32]},
    "optimizer": {"learning_rate": 3e-3, "output_learning_rate": 5e-2},
    "training": {"epochs": 8, "average": "none"},
    "augmentation": {"blend": 0.0, "channel_shift": 1, "time_scale": 0.0, "gain": 0.0},
}
_YIN_YANG: dict[str, Any] = {
    "name": "yin-yang",
    "description": "points of the Yin-Yang disc as four spike times; 30 hidden neurons, first spike decides",
    "data": {"source": "yin-yang"},
    "network": {
        "hidden": [30],
        "recurrent": False,
        "output": "spikes",
        "input_weight": [2.5, 1.5],
        "output_weight": [1.0, 1.0],
        "input_delay": [0.0, 10.0],
        "output_delay": [0.0, 10.0],
    },
    "loss": {"kind": "relative_first_spike", "delta": 2.0},
    "optimizer": {"learning_rate": 2e-2, "delay_learning_rate": 0.05, "schedule": "cosine", "final": 0.01},
    "training": {"epochs": 200, "batch_size": 50, "average": 0.99, "silent_raise": 0.1},
}
_SEQUENCE: dict[str, Any] = {
    "name": "sequence",
    "description": "which of two inputs spiked first, told apart by delays alone: they start where they are wrong",
    "data": {"source": "sequence", "duration": 50.0},
    "network": {
        "hidden": [],
        "output_tau_mem": 10.0,
        "output_tau_syn": 5.0,
        "output_weight": [1.0, 0.1],
        "output_delay": [[0.0, 10.0], [10.0, 0.0]],
        "train_weights": False,
    },
    "loss": {"kind": "max_voltage"},
    "optimizer": {"delay_learning_rate": 2.0},
    "training": {"epochs": 20, "batch_size": 2},
}
_SHD: dict[str, Any] = {
    "base": "spoken-digits",
    "name": "shd",
    "description": "Spiking Heidelberg Digits, 20 classes: the files shd_train.h5 and shd_test.h5 in EVENTSNN_DATA",
    "data": {
        "source": "files",
        "train": "shd_train.h5",
        "test": "shd_test.h5",
        "n_units": 700,
        "merge": 5,
        "duration": 1200.0,
        "validation_groups": [3],
    },
    "training": {"batch_size": 32},
    # 8 of the merged channels are 40 of the 700
    "augmentation": {"channel_shift": 8},
}
_SSC: dict[str, Any] = {
    "base": "shd",
    "name": "ssc",
    "description": "Spiking Speech Commands, 35 words: ssc_train.h5, ssc_valid.h5 and ssc_test.h5 in EVENTSNN_DATA",
    "data": {
        "train": "ssc_train.h5",
        "validation": "ssc_valid.h5",
        "test": "ssc_test.h5",
        "duration": 1000.0,
        "validation_groups": [],
    },
    "network": {"hidden": [256]},
}
_BRAILLE: dict[str, Any] = {
    "name": "braille",
    "description": "27 Braille letters under a robot fingertip, threshold 10: braille_th10.npz in EVENTSNN_DATA",
    # the last event comes at 1300 ms: time for most of them to arrive
    "data": {"source": "braille", "train": "braille_th10.npz", "duration": 1600.0},
    # some forty events in 1.3 s: long memory, long delays, and from each taxel eight of them to choose from
    "network": {
        "hidden": [512],
        "recurrent": False,
        "tau_mem": 50.0,
        "tau_syn": 20.0,
        "output_tau_mem": 50.0,
        "output_tau_syn": 20.0,
        "input_synapses": 8,
        "input_weight": [0.1, 0.7],
        "output_weight": [0.0, 1.0],
        "input_delay": [0.0, 600.0],
    },
    "optimizer": {
        "learning_rate": 2e-2,
        "delay_learning_rate": 3.0,
        "output_learning_rate": 5e-2,
        "schedule": "cosine",
        "final": 0.05,
    },
    "training": {
        "epochs": 30,
        "average": 0.995,
        "neuron_drop": 0.2,
        "monitor": "loss",
        "spike_target": 6.0,
        "spike_strength": 1e-3,
        "spike_only_above": True,
    },
    # no event is dropped: there are few enough
    "augmentation": {"time_jitter": 10.0, "time_scale": 0.05},
}
_BRAILLE_ANALOG: dict[str, Any] = {
    "base": "braille",
    "name": "braille-analog",
    "description": "the same letters from the analog sweeps, coded at a threshold: braille_analog.npz in EVENTSNN_DATA",
    # sweeps of 1900 ms
    "data": {"source": "braille-analog", "train": "braille_analog.npz", "threshold": 5.0, "duration": 2200.0},
}
_UNIFORM_KAIMING = ["kaiming", 2.0**0.5, "uniform"]
# within 1/sqrt(fan-in), as PyTorch's linear layers begin
_LINEAR = ["kaiming", 3.0**-0.5, "uniform"]
# DCLS-delays (Hammouamri, Khalfaoui-Hassani & Masquelier 2024): T_d = 25 steps of 10 ms
_SHD_DCLS: dict[str, Any] = {
    "name": "shd-dcls",
    "description": "Spiking Heidelberg Digits by DCLS-delays: feed-forward delays on a grid of 10 ms",
    "data": {**_SHD["data"], "validation_groups": [3, 6]},
    "network": {
        "hidden": [256, 256],
        "recurrent": False,
        "tau_mem": 10.05,
        "tau_syn": "none",
        "output_tau_mem": 10.05,
        "output_tau_syn": "none",
        "input_weight": _UNIFORM_KAIMING,
        "between_weight": _UNIFORM_KAIMING,
        "output_weight": _UNIFORM_KAIMING,
        "input_delay": [0.0, 240.0],
        "between_delay": [0.0, 240.0],
        "output_delay": [0.0, 240.0],
    },
    "grid": {"dt": 10.0, "dropout": 0.4, "longest_delay": 240.0, "sigma": [125.0, 5.0]},
    "loss": {"kind": "summed_softmax"},
    "optimizer": {
        "learning_rate": 5e-3,
        "schedule": "one_cycle",
        "delay_learning_rate": 1.0,
        "delay_schedule": "cosine",
        "weight_decay": 1e-5,
        "decoupled": False,
    },
    "training": {"epochs": 150, "batch_size": 256},
}
# DelRec (Queant et al. 2025): recurrent delays in the second layer
_SHD_DELREC: dict[str, Any] = {
    "base": "shd-dcls",
    "name": "shd-delrec",
    "description": "Spiking Heidelberg Digits by DelRec: recurrent delays on a grid of 10 ms",
    "network": {
        "recurrent": True,
        "tau_mem": 10.5,
        "output_tau_mem": 10.5,
        "recurrent_weight": "orthogonal",
        "input_delay": "none",
        "between_delay": "none",
        "output_delay": "none",
        "recurrent_delay": [100.0, 300.0],
    },
    "grid": {
        "detach_reset": False,
        "recurrent_layers": [2],
        "recurrent_dropout": 0.2,
        "bias": _LINEAR,
        "recurrent_sigma": [100.0, 0.592],
    },
    "optimizer": {"delay_learning_rate": 0.5, "decoupled": True},
}
# its ablation with about 10,000 parameters
_SHD_SMALL: dict[str, Any] = {
    "base": "shd-delrec",
    "name": "shd-delrec-small",
    "description": "the same with 42 + 42 neurons, to compare kinds of delays",
    "network": {
        "hidden": [42, 42],
        "tau_mem": 20.0,
        "output_tau_mem": 20.0,
        "input_weight": _LINEAR,
        "between_weight": _LINEAR,
        "output_weight": _LINEAR,
    },
    "grid": {"detach_reset": True, "batch_norm": False, "bias": False},
    "optimizer": {"delay_learning_rate": 1.0, "delay_schedule": "one_cycle"},
    "training": {"epochs": 30},
}
_SSC_DCLS: dict[str, Any] = {
    "base": "shd-dcls",
    "name": "ssc-dcls",
    "description": "Spiking Speech Commands by DCLS-delays, two layers",
    "data": {**_SSC["data"], "validation_groups": []},
    "network": {
        "hidden": [512, 512],
        "tau_mem": 15.0,
        "output_tau_mem": 15.0,
        "input_delay": [0.0, 300.0],
        "between_delay": [0.0, 300.0],
        "output_delay": [0.0, 300.0],
    },
    "grid": {"dropout": 0.25, "longest_delay": 300.0, "sigma": [155.0, 5.0]},
    "training": {"epochs": 60, "batch_size": 128},
}
_SSC_DELREC: dict[str, Any] = {
    "base": "shd-delrec",
    "name": "ssc-delrec",
    "description": "Spiking Speech Commands by DelRec, three recurrent layers",
    "data": {**_SSC["data"], "validation_groups": [], "duration": 1400.0},
    "network": {
        "hidden": [256, 256, 256],
        "tau_mem": 11.2,
        # a step: its voltage is its input, and the loss adds up the steps
        "output_tau_mem": 5.6,
        "input_weight": _LINEAR,
        "between_weight": _LINEAR,
        "output_weight": _LINEAR,
        "recurrent_delay": ["half_normal", 67.2],
    },
    "grid": {
        "dt": 5.6,
        "reset": "soft",
        "surrogate": "triangle",
        "surrogate_slope": 1.0,
        "batch_norm": False,
        "dropout": 0.0,
        "input_dropout": 0.1,
        "recurrent_dropout": 0.3,
        "recurrent_layers": [],
        "recurrent_sigma": [56.0, 0.3315],
        # should delays between layers be switched on: the 31 steps of the published code
        "longest_delay": 168.0,
        "sigma": [86.8, 2.8],
        "learned_width": True,
    },
    "loss": {"kind": "summed_voltage"},
    "optimizer": {
        "learning_rate": 1e-3,
        "delay_learning_rate": 0.28,
        "width_learning_rate": 0.05,
        "delay_schedule": "one_cycle",
        "decoupled": False,
    },
    "training": {"epochs": 100, "batch_size": 128},
}
_PS_MNIST: dict[str, Any] = {
    "base": "ssc-delrec",
    "name": "ps-mnist",
    "description": "permuted sequential MNIST by DelRec: pixel after pixel; the folder mnist in EVENTSNN_DATA",
    "data": {
        "source": "sequential-mnist",
        "folder": "mnist",
        "train": "none",
        "validation": "none",
        "test": "none",
        "n_units": "none",
        "merge": 1,
        "duration": "none",
    },
    "network": {
        "hidden": [64, 212, 212],
        "tau_mem": 2.0,
        "output_tau_mem": 1.0,
        "recurrent_delay": ["half_normal", 12.0],
    },
    "grid": {
        "dt": 1.0,
        "recurrent_dropout": 0.2,
        "recurrent_sigma": [10.0, 0.0592],
        "longest_delay": 30.0,
        "sigma": [15.5, 0.5],
    },
    "optimizer": {"delay_learning_rate": 0.05, "weight_decay": 1e-2, "decoupled": True},
    "training": {"epochs": 200, "batch_size": 256},
}
_GSC_DCLS: dict[str, Any] = {
    "base": "ssc-dcls",
    "name": "gsc-dcls",
    "description": "Google Speech Commands by DCLS-delays: 140 mel bands; the folder speech_commands in EVENTSNN_DATA",
    "data": {
        "source": "speech-commands",
        "folder": "speech_commands",
        "train": "none",
        "validation": "none",
        "test": "none",
        "n_units": "none",
        "merge": 1,
        "duration": 1000.0,
    },
    "training": {"epochs": 100},
}
_SPOKEN_DIGITS_DCLS: dict[str, Any] = {
    "base": "shd-dcls",
    "name": "spoken-digits-dcls",
    "description": "the spoken digits that ship, by DCLS-delays: delays on a grid of 10 ms",
    "data": {**_SPOKEN_DIGITS["data"], "train": "none", "test": "none", "n_units": "none"},
    "network": {"hidden": [64, 64]},
    "grid": {"dropout": 0.2},
    "training": {"epochs": 40, "batch_size": 64},
    "augmentation": _SPOKEN_DIGITS["augmentation"],
}
_SPOKEN_DIGITS_DELREC: dict[str, Any] = {
    "base": "shd-delrec",
    "name": "spoken-digits-delrec",
    "description": "the spoken digits that ship, by DelRec: recurrent delays on a grid of 10 ms",
    "data": _SPOKEN_DIGITS_DCLS["data"],
    "network": {"hidden": [64, 64]},
    "grid": {"dropout": 0.2},
    "training": {"epochs": 40, "batch_size": 64},
    "augmentation": _SPOKEN_DIGITS["augmentation"],
}
PRESETS = {
    item["name"]: item
    for item in (
        _SPOKEN_DIGITS, _SPOKEN_DIGITS_QUICK, _SPOKEN_DIGITS_DCLS, _SPOKEN_DIGITS_DELREC, _YIN_YANG, _SEQUENCE, _SHD,
        _SHD_DCLS, _SHD_DELREC, _SHD_SMALL, _SSC, _SSC_DCLS, _SSC_DELREC, _GSC_DCLS, _PS_MNIST, _BRAILLE,
        _BRAILLE_ANALOG,
    )
}  # fmt: skip
