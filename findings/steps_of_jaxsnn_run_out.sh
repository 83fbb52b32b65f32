#!/bin/sh
# A layer of jaxsnn, whose second argument is "number of event steps", with fewer of them than there are events.
#
# Versions: jaxsnn 0.3.0, jax 0.10.2, numpy 2.4.6 (Python 3.11).
# Guess: the number is room for the layer's own spikes, and too little room is an error.
# Seen: spikes that come in take steps too, and when the steps are used up the simulation of the layer ends there, without
# a word: with 45 steps and 5 spikes in, 40 spikes remain of those that 300 steps show, and none comes later.
# So: look whether the last step of every layer is empty (idx -1), and take more where it is not.
#
# Ends with 0 while that is so, with 1 when jaxsnn does something else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install jaxsnn==0.3.0 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 >/dev/null 2>&1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import logging
import sys

logging.disable(logging.WARNING)
import jax
import jax.numpy as jnp
import numpy as np
from jaxsnn.event.modules import LIF, Linear, Source
from jaxsnn.event.modules.lif.lif import LIFParameters
from jaxsnn.event.topology import Topology
from jaxsnn.event.types import Spike

times = jnp.linspace(1e-3, 9e-3, 5)
# of one sample
given = Spike(times[None], jnp.arange(5)[None], jnp.zeros((1, 5)), jnp.zeros((1, 5), int), jnp.ones((1, 5), bool))
weights = np.random.default_rng(0).normal(1.3, 0.5, (5, 100))


def spikes(steps):
    """The times (ms) of the spikes of 100 neurons that have so many steps, and whether the last step is empty."""
    layer = LIF(100, steps, LIFParameters(v_reset=0.0, v_th=1.0, tau_syn=10e-3, tau_mem=20e-3))
    builder = Topology(t_max=60e-3, backprop_method="eventprop")
    builder.add({"in": Source(5), "lif": layer, "weights": Linear(pre_weights=weights)})
    builder.connect([("in", "weights"), ("weights", "lif")])
    draw, run = builder.done()
    events = run({"in": given}, draw(jax.random.PRNGKey(0)))["lif"][0]
    own = np.asarray(events.internal) & (np.asarray(events.idx) >= 0)
    return 1e3 * np.asarray(events.time)[own], int(events.idx[-1]) < 0


(many, room), (few, room_left) = spikes(300), spikes(45)
print(f"300 steps: {many.size} spikes, the last at {many.max():.2f} ms, last step empty: {room}")
print(f" 45 steps: {few.size} spikes, the last at {few.max():.2f} ms, last step empty: {room_left}")
seen = room and not room_left and few.size == 40 < many.size and np.array_equal(np.sort(many)[:40], np.sort(few))
print("as described" if seen else "NOT as described")
sys.exit(not seen)
PYTHON
