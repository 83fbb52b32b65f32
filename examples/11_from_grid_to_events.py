"""Train on a grid, carry the network over to continuous time, and let exact gradients train it further.

On a grid of 0.5 ms with delays spread as in DCLS; then the same weights and delays, event by event. The step is short
and the weights are small, so that few neurons would fire twice in a step: where they would, the two differ.
Training amplifies rounding: with another release or processor the figures differ by a few points.
"""

from typing import Any

from eventsnn import Adam, Normal, Trainer, Uniform, data, losses, surrogate

train, validation, _ = data.load_yin_yang(seed=0, sizes=(1000, 300, 300))
grid = surrogate.GridNetwork(dt=0.5)
grid.add_input("in", train.n_units)
grid.add_lif("hidden", 40, tau_mem=10.0, tau_syn=5.0, reset="soft")
grid.add_readout("out", 3, tau_mem=10.0, tau_syn=5.0)
spread = surrogate.Spread("gaussian", sigma=(3.0, 0.25), epochs=5, longest=12.0)
grid.connect("in", "hidden", weight=Normal(0.15, 0.1), delay=Uniform(0, 12), spread=spread)
grid.connect("hidden", "out", weight=Normal(0.0, 0.05))

settings: dict[str, Any] = {"loss": losses.MeanVoltage(), "batch_size": 50, "progress": False}
trainer = Trainer(grid, grid.initialize(seed=0), optimizer=Adam(5e-3, learning_rates={"*.delay": 0.1}), **settings)
trainer.fit(train, epochs=10)
print(f"on the grid:            {100 * trainer.evaluate(validation).accuracy:.0f} % correct")

events, parameters = surrogate.to_events(grid, trainer.parameters)
trainer = Trainer(events, parameters, optimizer=Adam(1e-2, learning_rates={"*.delay": 0.05}), **settings)
print(f"the same in events:     {100 * trainer.evaluate(validation).accuracy:.0f} % correct")
trainer.fit(train, epochs=5)
print(f"trained further, exact: {100 * trainer.evaluate(validation).accuracy:.0f} % correct")
