"""Hand-made faults in copies of the kernels, and the check that must notice each of them.

Run ``python tests/long/mutants.py`` for all (about half a minute each), or with numbers for some of them. A mutant is
killed when the check fails or hangs; the last line gives the share that was.
"""

import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Of the processor, so that a busy machine kills no mutant; and of the clock, for one that waits for ever.
SECONDS_ALLOWED, HANG = 400, 7200

# (kernel source, text that stands there once, what a slip of the pen makes of it)
MUTANTS = [
    ("neurons/lif/membrane", "    r = (tau_mem - tau_syn) / tau_syn", "    r = (tau_mem - tau_syn) / tau_mem"),
    ("neurons/lif/membrane", "if denominator <= 0.0:", "if denominator < -1e300:"),
    ("neurons/lif/membrane", "y = (i - v) / denominator", "y = (i + v) / denominator"),
    ("neurons/lif/membrane", "- math.exp(-x / tau_one) * (1.0 + z)", "- math.exp(-x / tau_one) * (1.0 - z)"),
    (
        "neurons/lif/membrane",
        "z = x * (tau_two - tau_one) / (tau_one * tau_two)",
        "z = x * (tau_one - tau_two) / (tau_one * tau_two)",
    ),
    (
        "neurons/lif/membrane",
        "s[2, p + 1] = (s[1, p] - s[2, p] / tau_syn) / (p + 1)",
        "s[2, p + 1] = (s[1, p] - s[2, p] / tau_mem) / (p + 1)",
    ),
    ("neurons/lif/membrane", "TAU_FRACTION = 0.125", "TAU_FRACTION = 2.0"),
    (
        "neurons/lif/membrane",
        "slow = math.exp(-t / max(tau_mem, tau_syn))",
        "slow = math.exp(-t / min(tau_mem, tau_syn))",
    ),
    ("neurons/lif/membrane", "response = t / tau_mem * slow * ratio", "response = t / tau_syn * slow * ratio"),
    ("neurons/lif/membrane", "loss = math.expm1(-x)", "loss = math.exp(-x) - 1.0"),
    (
        "neurons/lif/membrane",
        "return (slow, fast, response) if tau_mem >= tau_syn",
        "return (slow, fast, response) if tau_mem < tau_syn",
    ),
    ("neurons/lif/membrane", "        response *= decay_v + decay_i\n", "        response *= 2.0 * decay_v\n"),
    ("neurons/lif/membrane", "    x *= net.model.part\n", ""),
    ("neurons/lif/membrane", "    if cut > 0.0:", "    if cut > 1e300:"),
    ("neurons/lif/crossing", "if i <= level or", "if i < v or"),
    ("neurons/lif/crossing", "if v >= threshold:", "if v > 0.99 * threshold:"),
    (
        "neurons/lif/crossing",
        "        guess = 0.0\n        if i_end >= v_end:",
        "        guess = 0.0\n        if i_end <= v_end:",
    ),
    (
        "neurons/lif/crossing",
        "high, tau_mem, tau_syn)\n        if v_peak <= level:",
        "high, tau_mem, tau_syn)\n        if v_peak <= threshold * (1.0 + 1e-9):",
    ),
    (
        "neurons/lif/crossing",
        "tau_mem, tau_syn)\n        if v_peak <= level:\n            return (Outcome.GRAZES if v_peak > threshold -",
        "tau_mem, tau_syn)\n        if v_peak <= level:\n            return (Outcome.GRAZES if v_peak > threshold +",
    ),
    ("neurons/lif/crossing", "later = t + gap * tau_mem / (i_t - v_t)", "later = t + gap * tau_syn / (i_t - v_t)"),
    (
        "neurons/lif/crossing",
        "guess, neuron)\n    slope = i * math.exp(-t / tau_syn) - threshold",
        "guess, neuron)\n    slope = i * math.exp(-t / tau_syn)",
    ),
    ("neurons/lif/crossing", "    if v_end > level:", "    if v_end > 1.1 * threshold:"),
    ("neurons/lif/crossing", "CONTACT = 5e-15", "CONTACT = 0.0"),
    ("neurons/lif/crossing", "if i <= level or dt == 0.0:", "if i <= level:"),
    ("neurons/lif/crossing", "        if abs(second) * step * step <= ROUNDING * scale:", "        if step >= 0.0:"),
    (
        "neurons/lif/crossing",
        "        step = (threshold - v_t) * tau_mem / (i_t - v_t)\n        t = min",
        "        step = 1e-3 * t\n        t = min",
    ),
    (
        "events/forward",
        "progress.window, progress.stretch, progress.next_input = window, stretch, at",
        "progress.window, progress.stretch, progress.next_input = window, -1, at",
    ),
    ("queue", "queue.events[item].next = queue.heads[bucket]", "queue.events[item].next = NOTHING"),
    ("queue", "        if queue.heads[bucket] >= 0:\n            return False", "        pass"),
    ("queue", "    queue.use[0].live -= 1", "    pass"),
    ("queue", "np.int64(time * net.per_ms) >> net.shift", "np.int64(time * net.per_ms)"),
    ("queue", "    if (ticks + 3) & ((1 << net.bits) - 1) < 4:", "    if (ticks + 3) & ((1 << net.bits) - 1) < 0:"),
    ("queue", "        event.by_mem *= net.pops[pop].decay_mem", "        event.by_mem *= net.pops[pop].decay_syn"),
    ("queue", "        event.by_syn *= net.pops[pop].growth_syn", "        event.by_syn *= net.pops[pop].growth_mem"),
    ("queue", "            event.count * math.exp(-x / neuron.tau_mem),", "            math.exp(-x / neuron.tau_mem),"),
    ("simd", 'within = builder.icmp_signed("<=", lanes_left', 'within = builder.icmp_signed("<", lanes_left'),
    ("vectors", "        width //= 2\n", "        width //= 4\n"),
    ("simd", 'in_time = builder.icmp_signed("<", window', 'in_time = builder.icmp_signed("<=", window'),
    ("simd", 'late = builder.icmp_signed(">=", window', 'late = builder.icmp_signed(">", window'),
    ("simd", 'builder.icmp_unsigned("<", fraction, constant(4))', 'builder.icmp_unsigned("<", fraction, constant(0))'),
    (
        "simd",
        'builder.store(builder.load(newest), call.at("work.link", number))',
        'builder.store(builder.load(newest), call.at("work.link", n))',
    ),
    ("simd", 'builder.fcmp_unordered("uno", modes, modes)', 'builder.fcmp_ordered("<", modes, modes)'),
    ("simd", '                        builder.store(builder.add(skip, k), call.at("adjoint.missed", so_far))\n', ""),
    ("simd", "        one_by_one(whole, length)\n", ""),
    ("simd", "rising = builder.and_(", "rising = builder.or_("),
    (
        "simd",
        "larger(v, builder.select(rising, builder.fadd(later_v, up), driven))",
        "builder.select(rising, later_v, driven)",
    ),
    ("simd", "driven = multiply_add(builder, up, slack, driven)", "driven = builder.fsub(driven, up)"),
    (
        "simd",
        "step_on(i, multiply_add(builder, i, fall_i, di), lost_i)",
        "step_on(i, multiply_add(builder, i, fall_i, nothing), lost_i)",
    ),
    (
        "simd",
        "rows, factors = (Row.DV, Row.DI, Row.UP), (Factor.V, Factor.I, Factor.V)",
        "rows, factors = (Row.DV, Row.DI, Row.UP), (Factor.V, Factor.V, Factor.V)",
    ),
    (
        "simd",
        "zip(sums, factors, (own, own, positive), strict=True)",
        "zip(sums, factors, (own, own, own), strict=True)",
    ),
    ("events/delivery", "if due < BLOCK or s == event.stop:", "if True:"),
    ("events/forward", " and is_quiet(net, work):", ":"),
    (
        "events/forward",
        "while window < last and is_empty(net, work.queue, window >> net.shift):",
        "while window < last:",
    ),
    (
        "events/arrivals",
        "while p > first and rows[Arrival.LEFT, p - 1] > left:",
        "while p > first and rows[Arrival.LEFT, p - 1] < left:",
    ),
    (
        "events/arrivals",
        "rows[Arrival.LEFT, a] > spare[Arrival.LEFT, b]:",
        "rows[Arrival.LEFT, a] < spare[Arrival.LEFT, b]:",
    ),
    ("neurons/lif/walk", "i, v = slope + neuron.threshold, shift.reset", "i, v = 0.0, shift.reset"),
    (
        "neurons/lif/walk",
        "i, v = slope + neuron.threshold, shift.reset",
        "i, v = slope + neuron.threshold, shift.reset + 0.1",
    ),
    ("neurons/lif/walk", "x = max(x - t, until)", "x = until"),
    (
        "events/arrivals",
        "insert(work, n, end - event.time, net.weight[s] * event.count)",
        "insert(work, n, end - event.time, net.weight[s])",
    ),
    ("neurons/lif/walk", "grazed += slope < GRAZING * neuron.scale", "grazed += slope < 0.0"),
    ("events/arrivals", "integral[j] += net.weight[s] * event.count * unit", "integral[j] += net.weight[s] * unit"),
    ("neurons/lif/walk", "return whole * math.exp(-rate * time) if rate", "return whole if rate"),
    ("neurons/lif/membrane", "        two = gap * two + one", "        two = gap * two"),
    ("neurons/lif/membrane", "        by_mem += x * x * (x * rate)", "        by_mem += x * x * x"),
    ("neurons/lif/adjoint", "    return decay * (rate * whole + last), decay", "    return decay * last, decay"),
    (
        "neurons/lif/walk",
        "i += weight[m]\n            m -= 1\n        # equality",
        "i -= weight[m]\n            m -= 1\n        # equality",
    ),
    ("neurons/lif/walk", "(i_end - v) / (i_end - i) if i < v < i_end else 1.0", "1.0"),
    (
        "neurons/lif/walk",
        "if max(work.values[Row.I, j], 0.0) > net.neurons[j].threshold:",
        "if max(work.values[Row.I, j], 0.0) > 1e9:",
    ),
    ("events/forward", "counters[Count.AFTER_END] = last - at", "counters[Count.AFTER_END] = 0"),
    ("events/forward", "progress.n_spikes = before\n", "pass\n"),
    ("events/forward", "    next_stretch = ((window >> net.shift) + 1) << net.shift", "    next_stretch = window"),
    (
        "events/delivery",
        "        arrival = time + net.row_delay[row]\n",
        "        arrival = time + 1.01 * net.row_delay[row]\n",
    ),
    (
        "events/delivery",
        "left = min((np.int64(arrival * net.per_ms) + 1) * net.h, net.duration) - arrival",
        "left = (np.int64(arrival * net.per_ms) + 1) * net.h - arrival",
    ),
    (
        "queue",
        "        if time + net.delay[middle] >= net.duration:",
        "        if time + net.delay[middle] > 1.01 * net.duration:",
    ),
    ("events/delivery", "        move_modes(net, event, stretch, later)\n", ""),
    ("events/arrivals", "        up[j] = up_mem * modes[4 * j] - up_syn * modes[4 * j + 1]", "        up[j] = 0.0"),
    (
        "events/arrivals",
        "        dv[j], di[j] = v_mem * mem - v_syn * syn, i_syn * syn",
        "        dv[j], di[j] = v_mem * mem - v_syn * syn, syn",
    ),
    ("events/arrivals", "    modes[:] = 0.0\n", "    pass\n"),
    ("events/arrivals", "if net.slot[middle] >> TARGET < j:", "if net.slot[middle] >> TARGET <= j:"),
    ("events/arrivals", "            n = find_arrivals(net, work, work.head[2 * cell + 1], n)", "            pass"),
    (
        "events/arrivals",
        "return block.time + net.delay[s], block.count * net.weight[s]",
        "return block.time + net.delay[s], net.weight[s]",
    ),
    ("events/forward", "        work.head[2 * (place + first) : 2 * (place + stop)] = NONE", "        pass"),
    ("events/forward", "    if net.n_windows * net.h != net.duration:\n        prepare(net, work, net.h)", "    pass"),
    (
        "neurons/lif/adjoint",
        "lambda_i * decay_i + lambda_v * response * (\n        net.neurons[j].tau_mem / net.neurons[j].tau_syn\n    )",
        "lambda_i * decay_i + lambda_v * response",
    ),
    ("places", "jumps[e].time < min(time, end)", "jumps[e].time < min(time + 1.0, end)"),
    (
        "events/backward",
        "        if window & (net.stretch - 1) == 0:\n            for pop",
        "        if True:\n            for pop",
    ),
    (
        "events/backward",
        "return min(max((latest + 1) * net.stretch - 1, known), window - 1)",
        "return min(latest * net.stretch, window - 1)",
    ),
    (
        "events/backward",
        "fired >= 0 and stretch_at(net, jumps, fired) >= stretch - net.ring_mask",
        "fired >= 0 and stretch_at(net, jumps, fired) >= stretch",
    ),
    (
        "neurons/lif/adjoint",
        "    adjoint.first[new : new + n] = NO_SPIKE\n\n\n@kernel\ndef leap_back",
        "    pass\n\n\n@kernel\ndef leap_back",
    ),
    ("events/backward", "(spike >> net.shift) + net.ring_mask if spike >= 0", "(spike >> net.shift) if spike >= 0"),
    (
        "neurons/lif/adjoint",
        "lambda_v += (fall * lambda_v + pull) / jumps[e].slope + kick",
        "lambda_v += pull / jumps[e].slope + kick",
    ),
    (
        "neurons/lif/adjoint",
        "lambda_v += (fall * lambda_v + pull) / jumps[e].slope + kick",
        "lambda_v += (fall * lambda_v + pull) / jumps[e].slope",
    ),
    (
        "neurons/lif/adjoint",
        "by_mem, by_syn = (tau_syn * lambda_i - psp_tail) / tau_mem",
        "by_mem, by_syn = (tau_syn * lambda_i + psp_tail) / tau_mem",
    ),
    ("neurons/lif/adjoint", "/ tau_mem, -current_tail / tau_syn", "/ tau_mem, -current_tail / tau_mem"),
    ("neurons/lif/adjoint", "fall * adjoint.jump_tails[Tail.RESET, e] / tau_mem", "0.0"),
    ("neurons/lif/adjoint", "by_mem + drive * mem, by_syn + drive * syn", "by_mem + drive * mem, by_syn"),
    ("events/collecting", "if at == start or arrival >= net.duration:", "if at == start:"),
    ("neurons/lif/adjoint", "i - drive * unit[1], i\n", "i - drive * unit[0], i\n"),
    (
        "events/collecting",
        "    gradients.per_synapse[2 * s] -= count * net.neurons[j].tau_syn * lambda_i",
        "    gradients.per_synapse[2 * s] -= net.neurons[j].tau_syn * lambda_i",
    ),
    ("neurons/lif/adjoint", "(lambda_i[j] - share * lambda_v[j]) * by_syn", "lambda_i[j] * by_syn"),
    ("events/collecting", "        if e != NO_SPIKE:\n            mem, syn", "        if False:\n            mem, syn"),
    ("events/collecting", "adjoint.pulls[late.spike] += (1.0 - share) * mem", "adjoint.pulls[late.spike] += mem"),
    (
        "events/collecting",
        "pull = (1.0 - share_of_mode(net, pop)) * event.by_mem * mem",
        "pull = event.by_mem * mem",
    ),
    ("events/collecting", "    while length == BLOCK and event.at > event.stop:", "    if event.at > event.stop:"),
    (
        "events/collecting",
        "cross, scale = response * (net.neurons[start].tau_mem / tau_syn), -event.count * tau_syn",
        "cross, scale = response * (net.neurons[start].tau_mem / tau_syn), -tau_syn",
    ),
    (
        "events/collecting",
        "total = (decay_v - cross) * adjoint.total[Lambda.V] - decay_i",
        "total = decay_v * adjoint.total[Lambda.V] - decay_i",
    ),
    ("events/collecting", "        if adjoint.first[at + j] == e:", "        if adjoint.first[at + j] != e:"),
    (
        "events/backward",
        "adjoint.jump_ends[row, e], adjoint.states[row, place] = adjoint.states[row, place], 0.0",
        "adjoint.jump_ends[row, e] = adjoint.states[row, place]",
    ),
    (
        "events/collecting",
        "        if adjoint.first[at + j] != NO_SPIKE:\n            v, i = adjoint_at",
        "        if False:\n            v, i = adjoint_at",
    ),
    (
        "events/collecting",
        "    gradients.row_delay[event.row] += pull",
        "    gradients.row_delay[event.row] += event.count * pull",
    ),
    (
        "events/collecting",
        "                _wait(net, adjoint, jumps, this, earlier)\n                continue",
        "                pass",
    ),
    ("neurons/lif/adjoint", "    gradients.neurons[Constant.RESET, j] -= tau_mem * lambda_v", "    pass"),
    (
        "neurons/lif/walk",
        "work.values[Row.V, j] = outputs[Reading.MAXIMUM, j] = begin",
        "work.values[Row.V, j] = outputs[Reading.MAXIMUM, j] = 0.0",
    ),
    (
        "neurons/lif/crossing",
        "low = min(peak_time(-v, -i, tau_mem, tau_syn), dt)",
        "low = min(peak_time(v, i, tau_mem, tau_syn), dt)",
    ),
    ("events/backward", "    if start_matters(net):\n        start_back", "    if False:\n        start_back"),
    (
        "neurons/lif/tables",
        'shifts["fall"] = values["v_threshold"] - values["v_reset"]',
        'shifts["fall"] = values["v_threshold"]',
    ),
    ("neurons/lif/tables", '"bias": moved - sums[Constant.START]', '"bias": moved'),
    ("neurons/lif/laying", "weight * (mem - current)", "weight * mem"),
    ("neurons/lif/laying", "np.exp(left / neurons", "np.exp(-left / neurons"),
    ("neurons/lif/laying", '* net.model.shifts["fall"][j])', ")"),
    ("negligible", "NEGLIGIBLE = 1e-290", "NEGLIGIBLE = 1e-320"),
    ("neurons/lif/membrane", "FORGET_EVERY = 8", "FORGET_EVERY = 2**40"),
    ("neurons/lif/membrane", "values[at + j] = lost[j] = 0.0", "values[at + j] = 0.0"),
    ("neurons/lif/membrane", "if abs(values[at + j]) <= NEGLIGIBLE:", "if values[at + j] <= NEGLIGIBLE:"),
    ("neurons/lif/membrane", "return x if abs(x) > NEGLIGIBLE else 0.0", "return x"),
    ("neurons/lif/walk", "forget_small(work.values[Row.I], work", "forget_small(work.values[Row.V], work"),
    ("neurons/lif/adjoint", "    _forget_back(adjoint, window, new, n)\n", ""),
    ("neurons/lif/adjoint", "forget_small(adjoint.states[row], adj", "forget_small(adjoint.states[0], adj"),
    (
        "neurons/lif/adjoint",
        "forget_small(adjoint.tails[row], adjoint.lost[Lost.RESET + row], new, n)",
        "forget_small(adjoint.tails[row], adjoint.lost[Lost.RESET + row], 0, n)",
    ),
    ("neurons/lif/crossing", "if tau_mem == 2.0 * tau_syn and", "if abs(tau_mem - 2.0 * tau_syn) < 1e-9 * tau_mem and"),
    ("neurons/lif/crossing", "and i > SQUARES_HOLD:", "and i > 0.0:"),
    ("neurons/lif/crossing", "max((1.0 - u) * root, ", "max(root, "),
    (
        "neurons/lif/crossing",
        "square / i\n        if v_peak <= level:",
        "square / i\n        if v_peak <= threshold * (1.0 + 1e-9):",
    ),
    (
        "neurons/lif/crossing",
        "square / i\n        if v_peak <= level:\n            return (Outcome.GRAZES if v_peak > threshold -",
        "square / i\n        if v_peak <= level:\n            return (Outcome.GRAZES if v_peak > threshold +",
    ),
    ("neurons/lif/crossing", "v_peak = 0.25 * square / i", "v_peak = v + 0.25 * (i - v) * (i - v) / i"),
    ("neurons/lif/crossing", "max(square - 4.0 * i * threshold, 0.0)", "max((i - v) * (i - v) - 4.0 * i * gap, 0.0)"),
    ("neurons/lif/crossing", "    if gap <= 0.0:\n        return Outcome.FIRES, 0.0, i - threshold\n", ""),
    ("events/arrivals", "        work.in_rows[ends.last].next = n\n", ""),
    ("events/arrivals", "            progress.n_dense += 1", "            pass"),
    (
        "events/arrivals",
        "                number = work.number[net.slot[s] >> TARGET]",
        "                number = NOTHING",
    ),
    ("events/arrivals", "                if s >= 0:", "                if s > 1e9:"),
    ("events/columns", "modes[q, 2 * k] += tails[q, 2 * k] * by_mem", "modes[q, 2 * k] += tails[q, 2 * k]"),
    ("events/columns", "    work.tailed[pop] = spikes", "    work.tailed[pop] = 0"),
    ("events/columns", "    busy[k] |= write_effects", "    write_effects"),
    ("events/rings", "                modes[2 * k] *= by_mem", "                modes[2 * k] *= by_syn"),
    ("events/rings", "np.int64(min(last, net.duration) * net.per_ms) + 1", "np.int64(time * net.per_ms) + 1"),
    ("events/trains", "oldest = (window - work.progress[0].first_window - net.reach)", "oldest = (window - 1)"),
    ("events/trains", "(sent[k].fixed + fixed[s]) >> FIXED_BITS == window", "True"),
    ("events/grouping", "            _write(groups, p, groups.fixed[p - 1], (0.0, 0.0), -1)\n", ""),
    ("events/grouping", "(at - whole) * net.h)", "0.0)"),
    (
        "events/collecting_blocks",
        "held[2 * net.block + k] = x if jumped else x * by[k & 1]",
        "held[2 * net.block + k] = x",
    ),
    ("events/collecting_blocks", "            adjoint.block_modes[mode, k] *= by[mode]", "            pass"),
    ("events/collecting_blocks", "held[2 * (net.n_windows - first) :] = 0.0", "held[:0] = 0.0"),
    (
        "events/backward",
        "    if first >= 0 and not is_set(adjoint.stop):\n        leave_block",
        "    if False:\n        leave_block",
    ),
    ("events/backward", "return window + net.reach - 1 if window >= 0 and net.block > 0 else -1", "return -1"),
    ("events/layers", "adjoint.jumped[k - 1].time >= arrival", "adjoint.jumped[k - 1].time > arrival"),
    ("events/layers", "    while k > begin and", "    if k > begin and"),
    ("events/layers", "            begin = middle + 1", "            begin = middle + 2"),
    ("events/layers", "of < 0 or not _are_alike(net, of, target)", "of < 0"),
    ("events/layers", "factor = count * growth[0], count * growth[1]", "factor = growth[0], growth[1]"),
    ("events/layers", "if own or not uniform:", "if own:"),
    ("events/layers", "            if arrival >= net.duration:\n                continue\n", ""),
    ("events/layers", "        gradients.row_delay[row] += pull\n", "        pass\n"),
    ("events/layers", "        if inputs[k].time < net.duration:", "        if True:"),
    ("events/layers", "place_of(net, -1) + j] = mem", "place_of(net, -1) + j] = 0.0"),
    (
        "events/layers",
        "    return net.pops[net.conns[conn].target].start + s - first",
        "    return np.int64(net.slot[s] >> TARGET)",
    ),
]

CHECK = """
import sys
import numpy as np
sys.path.insert(0, {copy!r})
from eventsnn import Network, Normal, SpikeBatch, Uniform, simulate
from eventsnn.engines import Problem, Run
from eventsnn.engines.cpu import engine as compiled
from eventsnn.engines.cpu import ways
from eventsnn.losses import MaxVoltage, MeanVoltage, SpikeCountTarget
from eventsnn.testing import LOSSES, compare_engines, random_case

for seed in range(60):
    case = random_case(seed, loss=LOSSES[seed % 6], duration=39.3, max_spikes=150)
    lif = next(p.name for p in case.network.populations.values() if p.kind == "lif")
    extra = (SpikeCountTarget(lif, 1.0, 0.5),) if seed % 3 == 0 else ()
    compare_engines(*case[:4], loss=case.loss, duration=case.duration, regularizers=extra, max_spikes=10_000)
    if seed % 10 == 0:
        parameters = case.network.check_parameters(case.parameters)
        runs = [Run(case.duration, {{}}, capacity=capacity) for capacity in (1, 4096)]
        made = [compiled.forward(Problem(case.network, parameters, case.batch, run))[0] for run in runs]
        assert made[0].times.tobytes() == made[1].times.tobytes()


# Populations of one tau_mem and one tau_syn that are not trained, and inputs with counts: only there are arrivals
# summed as two modes, and random_case trains most time constants. More neurons than lanes, in no multiple of them.
def modal_case(seed):
    rng = np.random.default_rng([seed, 7])
    network, taus = Network(), [(20.0, 5.0), (6.0, 14.0), (11.0, 9.5), (30.0, 2.0)][seed % 4]
    network.add_input("in", 7)
    network.add_lif("hidden", 19, tau_mem=taus[0], tau_syn=taus[1])
    network.add_readout("out", 3, tau_mem=15.0, tau_syn=taus[1])
    mask = rng.random((19, 19)) < 0.5 if seed % 2 else None
    network.connect("in", "hidden", weight=Normal(3.0 / taus[1], 2.0 / taus[1]), delay=Uniform(0.0, 12.0))
    network.connect("hidden", "hidden", weight=Normal(0.0, 1.0 / taus[1]), delay=Uniform(1.0, 25.0), mask=mask)
    network.connect("hidden", "out", weight=Normal(0.2, 0.5), delay=Uniform(0.0, 9.0))
    samples = [(rng.uniform(0, 38, 40), rng.integers(0, 7, 40), rng.integers(1, 5, 40) * 0.5) for _ in range(2)]
    return network, network.initialize(seed), SpikeBatch.from_lists(samples), np.array([seed % 3, (seed + 1) % 3])


# back through windows: by the queue alone, and by each of the other ways wherever it can be taken, in short blocks and
# in long ones
allowed, longest, ways.LEAST_ARRIVALS, ways.LAYERED_PART = ways.ALLOWED, ways.MOST_BLOCK, 0.0, 0.0
for ways.ALLOWED, ways.MOST_BLOCK in ((frozenset(), longest), (allowed, longest), (allowed, 1)):
    for seed in range(8):
        loss = MaxVoltage() if seed % 3 == 2 else MeanVoltage()
        compare_engines(*modal_case(seed), loss=loss, duration=41.7, max_spikes=10_000)
network = Network()
network.add_input("in", 1)
network.add_lif("a", 1, tau_mem=20.0, tau_syn=10.0)
network.connect("in", "a", weight=4.0 * (1 + 1e-13))
batch = SpikeBatch.from_lists([([4.0], [0])])
for weight in (4.0 * (1 + 1e-13), 4.0 * (1 - 1e-9), 4.0 * (1 - 1e-3)):
    parameters = {{"in->a.weight": np.array([[weight]])}}
    engines = ("compiled", "reference")
    one, two = (simulate(network, parameters, batch, duration=80.0, engine=e, n_threads=1) for e in engines)
    assert one.counters.grazing.tolist() == two.counters.grazing.tolist() and one.times.size == two.times.size
"""


def mutated(folder, number):
    """Copy the package to ``folder`` and put one fault into it; raises ValueError where the text is not there once."""
    source, before, after = MUTANTS[number]
    shutil.copytree(ROOT / "eventsnn", folder / "eventsnn", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "eventsnn" / "kernels" / f"{source}.py"
    text = path.read_text(encoding="utf-8")
    if text.count(before) != 1:
        raise ValueError(f"mutant {number}: {before!r} stands {text.count(before)} times in {source}.py")
    path.write_text(text.replace(before, after), encoding="utf-8")


def survives(number):
    """True where the check does not notice mutant ``number``."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if number is None:
            shutil.copytree(ROOT / "eventsnn", folder / "eventsnn", ignore=shutil.ignore_patterns("__pycache__"))
        else:
            mutated(folder, number)
        environment = os.environ | {"EVENTSNN_CACHE": str(folder / "cache"), "PYTHONPATH": name}
        own = [f"neurons/lif/test_{part}" for part in ("membrane", "crossing", "forgetting")]
        parts = (*own, "test_queue", "events/test_forward", "events/test_layers")
        kernels = [ROOT / "tests" / "kernels" / f"{part}.py" for part in parts]
        kernels.append(ROOT / "tests" / "neurons" / "test_lif.py")
        hazards = "silence or end_do_not or instant or first_size or outgrows"
        commands = [
            [sys.executable, "-c", CHECK.format(copy=name)],
            [sys.executable, "-m", "pytest", "-q", "-x", "--rootdir", name, "--import-mode=importlib",
             "-p", "no:cacheprovider", "-o", "pythonpath=", *map(str, kernels)],
            [sys.executable, "-m", "pytest", "-q", "-x", "--rootdir", name, "--import-mode=importlib",
             "-p", "no:cacheprovider", "-o", "pythonpath=", "-k", hazards, str(ROOT / "tests" / "test_simulation.py")],
        ]  # fmt: skip
        for command in commands:
            try:
                done = subprocess.run(
                    command, cwd=name, env=environment, timeout=HANG, capture_output=True, text=True,
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_ALLOWED, SECONDS_ALLOWED)),
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                return False
            if done.returncode:
                if number is None:
                    print(done.stdout[-2000:], done.stderr[-2000:])
                return False
        return True


def main(numbers):
    """Check the chosen mutants; returns the share killed."""
    if not survives(None):
        raise SystemExit("the check fails without any fault: nothing can be learned")
    alive = []
    for number in numbers:
        lives = survives(number)
        alive += [number] if lives else []
        source, before, after = MUTANTS[number]
        print(f"{number:3d} {'SURVIVES' if lives else 'killed':9s}{source}: {before!r} -> {after!r}", flush=True)
    share = 1 - len(alive) / len(numbers)
    print(f"killed {len(numbers) - len(alive)} of {len(numbers)} ({share:.1%}); alive: {alive}")
    return share


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or range(len(MUTANTS)))
