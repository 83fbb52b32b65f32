"""Classify points of the plane by which output spikes first: the Yin-Yang task, in a short run.

Kriener, Göltz and Petrovici (2022). The clipped norm keeps a nearly grazing spike from throwing the weights far.
Training amplifies rounding: with another release or processor the last epochs end a point or two away.
"""

from eventsnn import Adam, Network, Normal, Trainer, Uniform, data, losses

train, validation, _ = data.load_yin_yang(seed=0, sizes=(1500, 300, 300), bias=1.5)
network = Network()
network.add_input("in", 5)
network.add_lif("hidden", 40, tau_mem=20.0, tau_syn=5.0)
network.add_lif("out", 3, tau_mem=20.0, tau_syn=5.0)
network.connect("in", "hidden", weight=Normal(2.0, 1.5), delay=Uniform(0, 10))
network.connect("hidden", "out", weight=Normal(0.6, 0.4), delay=Uniform(0, 5))

trainer = Trainer(
    network,
    network.initialize(seed=0),
    loss=losses.RelativeFirstSpike(delta=2.0),
    optimizer=Adam(learning_rate=0.005, learning_rates={"*.delay": 0.05}, clip_norm=5.0),
    batch_size=50,
    progress=False,
)
history = trainer.fit(train, validation, epochs=8)
for record in history.records:
    print(f"epoch {record['epoch']}: loss {record['train_loss']:.3f}", end=", ")
    print(f"validation {100 * record['validation_accuracy']:.1f} % correct")
