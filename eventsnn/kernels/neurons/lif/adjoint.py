"""The adjoint of the neuron through one window, back in time."""

import math

import numpy as np

from ...adjoint_workspace import NO_SPIKE, Lambda, Lost, Step, Tail
from ...blocks import OCTET, first_of_block
from ...compile import inlined, kernel
from ...places import jump_after, place_of, state_at_end, window_end
from ...state import Kind
from .membrane import (
    FORGET_EVERY,
    double_psp,
    forget_small,
    integral_by_taus,
    is_other,
    leap_on,
    mode_fall,
    mode_growth,
    polynomial,
    psp,
    response_integral,
    responses,
    start_integrals,
    step_on,
)
from .tables import Constant


@kernel
def prepare_back(net, steps, length, with_tails):
    """The constants of the backward flow of every neuron over a window of ``length`` ms."""
    for j in range(net.neurons.size):
        if not is_other(net, j):
            for row in range(Step.FALL_V, steps.shape[0]):
                steps[row, j] = steps[row, j - 1]
            continue
        tau_mem, tau_syn = net.neurons[j].tau_mem, net.neurons[j].tau_syn
        ratio, response = tau_mem / tau_syn, psp(length, tau_mem, tau_syn)
        steps[Step.FALL_V, j], steps[Step.FALL_I, j] = math.expm1(-length / tau_mem), math.expm1(-length / tau_syn)
        steps[Step.V_TO_I, j] = response * ratio
        if with_tails:
            steps[Step.V_TO_RESET, j] = length * math.exp(-length / tau_mem)
            steps[Step.V_TO_PSP, j] = double_psp(length, tau_mem, tau_syn) / tau_mem
            steps[Step.I_TO_PSP, j] = tau_syn * response
            steps[Step.V_TO_CURRENT, j] = ratio * (double_psp(length, tau_syn, tau_mem) / tau_mem)
            steps[Step.I_TO_CURRENT, j] = length * math.exp(-length / tau_syn)


@inlined
def _earlier(net, j, lambda_v, lambda_i, x):
    """The adjoint of neuron j, x <= h ms earlier."""
    decay_v, decay_i, response = responses(net, j, x)
    return lambda_v * decay_v, lambda_i * decay_i + lambda_v * response * (
        net.neurons[j].tau_mem / net.neurons[j].tau_syn
    )


@kernel
def _tails_back(net, j, adjoint, tails, x):
    """The three tails of neuron j, x <= h ms earlier; ``adjoint``: (lambda_V, lambda_I)."""
    lambda_v, lambda_i = adjoint
    k, tau_mem, tau_syn = net.neurons[j].series, net.neurons[j].tau_mem, net.neurons[j].tau_syn
    decay_v, decay_i, response = responses(net, j, x)
    return (
        (tails[0] + lambda_v * x) * decay_v,
        tails[1] * decay_v + tau_syn * lambda_i * response + lambda_v * polynomial(net.model.series, k, 3, x),
        (tails[2] + lambda_i * x) * decay_i + lambda_v * (tau_mem / tau_syn) * polynomial(net.model.series, k, 2, x),
    )


@inlined
def adjoint_at(net, adjoint, jumps, j, time):
    """(lambda_V, lambda_I) of neuron j as an arrival at ``time`` sees it, without the loss's direct pull."""
    window = np.int64(time * net.per_ms)
    e, before = jump_after(net, adjoint, jumps, j, time, window)
    if e != NO_SPIKE:
        state = (adjoint.jump_states[Lambda.V, e], adjoint.jump_states[Lambda.I, e])
        return _earlier(net, j, state[0], state[1], jumps[e].time - time)
    state = state_at_end(net, adjoint, j, window, before)
    return _earlier(net, j, state[0], state[1], window_end(net, window) - time)


@kernel
def _tails_at(net, adjoint, jumps, j, time):
    """The tails of neuron j at ``time``."""
    window = np.int64(time * net.per_ms)
    e, before = jump_after(net, adjoint, jumps, j, time, window)
    if e != NO_SPIKE:
        state = (adjoint.jump_states[Lambda.V, e], adjoint.jump_states[Lambda.I, e])
        return _tails_back(net, j, state, adjoint.jump_tails[:, e], jumps[e].time - time)
    state, tails = state_at_end(net, adjoint, j, window, before), adjoint.tails[:, place_of(net, window) + j]
    return _tails_back(net, j, state, tails, window_end(net, window) - time)


@kernel
def add_constants(net, adjoint, jumps, j, arrival, charge, lambda_i, gradients):
    """Add what one arrival gives to dL/dtau; ``charge``: count times weight, ``lambda_i`` without the loss's drive."""
    _, psp_tail, current_tail = _tails_at(net, adjoint, jumps, j, arrival)
    tau_mem, tau_syn = net.neurons[j].tau_mem, net.neurons[j].tau_syn
    by_mem, by_syn = (tau_syn * lambda_i - psp_tail) / tau_mem, -current_tail / tau_syn
    drive = adjoint.steps[Step.DRIVE, j]
    if drive != 0.0:
        rate = net.pops[net.neurons[j].pop].decay_rate
        drive *= math.exp(-rate * arrival)
        mem, syn = integral_by_taus(net.duration - arrival, rate, tau_mem, tau_syn)
        by_mem, by_syn = by_mem + drive * mem, by_syn + drive * syn
    gradients.neurons[Constant.TAU_MEM, j] += charge * by_mem
    gradients.neurons[Constant.TAU_SYN, j] += charge * by_syn


@inlined
def share_of_mode(net, pop):
    """How much of lambda_V's mode there is in lambda_I; the rest of lambda_I decays with tau_syn."""
    neuron = net.neurons[net.pops[pop].start]
    return net.pops[pop].psp_scale * neuron.tau_mem / neuron.tau_syn


@inlined
def write_modes(net, adjoint, window):
    """Write the states at a window's end as modes, as if undisturbed: at the stretch's end, or the block's start."""
    for pop in range(net.n_pops):
        if net.pops[pop].queued:
            _write_stretch_modes(net, adjoint, pop, window)
        if net.pops[pop].last_known > net.pops[pop].first_known:
            _hold_modes(net, adjoint, pop, window)


@inlined
def _write_stretch_modes(net, adjoint, pop, window):
    place = place_of(net, window)
    first, last = place + net.pops[pop].start, place + net.pops[pop].stop
    (by_mem, by_syn), share = mode_growth(net, pop, window), share_of_mode(net, pop)
    lambda_v, lambda_i = adjoint.states[Lambda.V, first:last], adjoint.states[Lambda.I, first:last]
    modes = adjoint.modes[2 * first : 2 * last]
    for j in range(last - first):
        modes[2 * j], modes[2 * j + 1] = lambda_v[j] * by_mem, (lambda_i[j] - share * lambda_v[j]) * by_syn


@inlined
def _hold_modes(net, adjoint, pop, window):
    first, k = place_of(net, window) + net.pops[pop].start, window - first_of_block(net, window)
    (by_mem, by_syn), share = mode_fall(net, pop, k + 1), share_of_mode(net, pop)
    row, n = OCTET * net.pops[pop].octet, net.pops[pop].stop - net.pops[pop].start
    held, states = adjoint.held[row : row + n], adjoint.states[:, first : first + n]
    for j in range(n):
        v, i = states[Lambda.V, j], states[Lambda.I, j]
        held[j, 2 * k], held[j, 2 * k + 1] = v * by_mem, (i - share * v) * by_syn


@inlined
def unit_drive(net, j, time):
    """(-d/dtime, 1/tau_syn) of the integral of e^{-rate t} V that a unit jump of I at ``time`` brings to a readout."""
    rate, (whole, last) = net.model.integrals[j].rate, response_integral(net.duration - time, net.model.integrals[j])
    decay = math.exp(-rate * time) if rate != 0.0 else 1.0
    return decay * (rate * whole + last), decay * whole / net.neurons[j].tau_syn


@inlined
def seen(net, adjoint, jumps, j, time, unit):
    """(lambda_V - lambda_I, lambda_I, and lambda_I without the drive) of neuron j as an arrival at ``time`` sees it.

    ``unit``: what a unit of the loss's drive does there, by `unit_drive`.
    """
    v = i = 0.0
    # a readout without a maximum has nothing but its drive
    if net.pops[net.neurons[j].pop].kind != Kind.READOUT:
        v, i = adjoint_at(net, adjoint, jumps, j, time)
    drive = adjoint.steps[Step.DRIVE, j]
    return v - i - drive * unit[0], i - drive * unit[1], i


@inlined
def jump_back(net, adjoint, jumps, e, lambda_v, pull, gradients):
    """lambda_V before the spike, or the maximum, at entry e; ``lambda_v``: after it, ``pull``: on the spike's time."""
    j, with_tails = jumps[e].neuron, adjoint.tails.shape[1] > 0
    if with_tails:
        tails = _tails_at(net, adjoint, jumps, j, jumps[e].time)
        for row in range(len(tails)):
            adjoint.jump_tails[row, e] = tails[row]
    tau_mem, kick = net.neurons[j].tau_mem, jumps[e].kick
    if net.pops[net.neurons[j].pop].kind != Kind.SPIKING:
        gradients.neurons[Constant.WHOLE, j] -= tau_mem * kick  # a maximum moves with all of V
        if jumps[e].slope < 0.0:  # it is the start, which no arrival moves
            gradients.neurons[Constant.START, j] -= tau_mem * kick
            return lambda_v
        return lambda_v + kick
    fall = net.model.shifts[j].fall
    gradients.neurons[Constant.RESET, j] -= tau_mem * lambda_v
    lambda_v += (fall * lambda_v + pull) / jumps[e].slope + kick
    gradients.neurons[Constant.THRESHOLD, j] += tau_mem * lambda_v
    if with_tails:
        gradients.neurons[Constant.TAU_MEM, j] += fall * adjoint.jump_tails[Tail.RESET, e] / tau_mem
    return lambda_v


@inlined
def _step_tails(adjoint, old, new, n):
    """Carry the tails of n neurons over a window, from their place ``old`` to ``new``."""
    steps, lost, tails = adjoint.steps, adjoint.lost[Lost.RESET :], adjoint.tails
    for j in range(n):
        v, i = adjoint.states[Lambda.V, old + j], adjoint.states[Lambda.I, old + j]
        reset, psp_tail, current = tails[Tail.RESET, old + j], tails[Tail.PSP, old + j], tails[Tail.CURRENT, old + j]
        fall_v, fall_i = steps[Step.FALL_V, j], steps[Step.FALL_I, j]
        grows = (
            reset * fall_v + v * steps[Step.V_TO_RESET, j],
            psp_tail * fall_v + (v * steps[Step.V_TO_PSP, j] + i * steps[Step.I_TO_PSP, j]),
            current * fall_i + (v * steps[Step.V_TO_CURRENT, j] + i * steps[Step.I_TO_CURRENT, j]),
        )
        for row in range(len(grows)):
            tails[row, new + j], lost[row, j] = step_on(tails[row, old + j], grows[row], lost[row, j])


@inlined
def _forget_back(adjoint, window, new, n):
    """`walk.forget` in the mirror: set negligible adjoints of n neurons, from a place on, to zero now and then."""
    if window & (FORGET_EVERY - 1) != 0:
        return
    for row in range(adjoint.states.shape[0]):
        forget_small(adjoint.states[row], adjoint.lost[row], new, n)
    for row in range(adjoint.tails.shape[0] if adjoint.tails.shape[1] > 0 else 0):
        forget_small(adjoint.tails[row], adjoint.lost[Lost.RESET + row], new, n)


@inlined
def flow_back(net, adjoint, jumps, window, entries):
    """Carry the adjoint from the end of ``window`` to the end of the window before it.

    ``entries``: (first, last) jumps of ``window``; neurons that jumped continue from their earliest jump.
    """
    begin, end = window * net.h, window_end(net, window)
    old, new, n = place_of(net, window), place_of(net, window - 1), net.neurons.size
    lambda_v, lambda_i = adjoint.states[Lambda.V, old : old + n], adjoint.states[Lambda.I, old : old + n]
    new_v, new_i = adjoint.states[Lambda.V, new : new + n], adjoint.states[Lambda.I, new : new + n]
    steps, lost, with_tails = adjoint.steps, adjoint.lost, adjoint.tails.shape[1] > 0
    if end - begin != net.h:
        prepare_back(net, steps, end - begin, with_tails)
    # in this order, as both windows may lie in one place
    if with_tails:
        _step_tails(adjoint, old, new, n)
    for j in range(n):
        v, i = lambda_v[j], lambda_i[j]
        new_i[j], lost[Lost.I, j] = step_on(i, i * steps[Step.FALL_I, j] + v * steps[Step.V_TO_I, j], lost[Lost.I, j])
        new_v[j], lost[Lost.V, j] = step_on(v, v * steps[Step.FALL_V, j], lost[Lost.V, j])
    _forget_back(adjoint, window, new, n)
    if end - begin != net.h:
        prepare_back(net, steps, net.h, with_tails)
    for e in range(entries[0], entries[1]):
        j = jumps[e].neuron
        if adjoint.first[old + j] != e:
            continue
        x, state = jumps[e].time - begin, (adjoint.jump_states[Lambda.V, e], adjoint.jump_states[Lambda.I, e])
        if with_tails:
            tails = _tails_back(net, j, state, adjoint.jump_tails[:, e], x)
            for row in range(len(tails)):
                adjoint.tails[row, new + j] = tails[row]
        new_v[j], new_i[j] = _earlier(net, j, state[0], state[1], x)
        lost[:, j] = 0.0
    adjoint.first[new : new + n] = NO_SPIKE


@kernel
def leap_back(net, adjoint, window, previous):
    """Carry the adjoint of every neuron across a silence, from the end of ``window`` to that of ``previous``."""
    x, old, new = (window - previous) * net.h, place_of(net, window), place_of(net, previous)
    states, tails, lost = adjoint.states, adjoint.tails, adjoint.lost
    decay_v = fall_v = decay_i = fall_i = response = 0.0
    for j in range(net.neurons.size):
        tau_mem, tau_syn = net.neurons[j].tau_mem, net.neurons[j].tau_syn
        ratio = tau_mem / tau_syn
        if is_other(net, j):
            decay_v, fall_v = math.exp(-x / tau_mem), math.expm1(-x / tau_mem)
            decay_i, fall_i = math.exp(-x / tau_syn), math.expm1(-x / tau_syn)
            response = psp(x, tau_mem, tau_syn)
        v, i = states[Lambda.V, old + j], states[Lambda.I, old + j]
        if tails.shape[1] > 0:
            to_psp, to_current = double_psp(x, tau_mem, tau_syn) / tau_mem, double_psp(x, tau_syn, tau_mem) / tau_mem
            grows = (v * x * decay_v, tau_syn * i * response + v * to_psp, i * x * decay_i + v * ratio * to_current)
            for row in range(len(grows)):
                decay, fall = (decay_i, fall_i) if row == Tail.CURRENT else (decay_v, fall_v)
                at = Lost.RESET + row
                tails[row, new + j], lost[at, j] = leap_on(tails[row, old + j], grows[row], decay, fall, lost[at, j])
        states[Lambda.I, new + j], lost[Lost.I, j] = leap_on(i, v * response * ratio, decay_i, fall_i, lost[Lost.I, j])
        states[Lambda.V, new + j], lost[Lost.V, j] = leap_on(v, 0.0, decay_v, fall_v, lost[Lost.V, j])
        adjoint.first[new + j] = NO_SPIKE


@inlined
def start_matters(net):
    """True where U starts or rests anywhere else than at zero, or the gradient of that is asked for."""
    return net.model.moved != 0


@kernel
def start_back(net, adjoint, gradients):
    """Add what U at time 0 gives to the gradients: it is one more jump of U, from zero to its start.

    To the loss's drive of a readout, which the states do not hold, e^{-t/tau_mem} and a constant add in closed form.
    """
    at = place_of(net, -1)
    for j in range(net.neurons.size):
        tau_mem, drive, rate = net.neurons[j].tau_mem, adjoint.steps[Step.DRIVE, j], net.model.integrals[j].rate
        by_whole, by_start, by_tau = start_integrals(net.duration, rate, tau_mem)
        start = net.model.shifts[j].start
        gradients.neurons[Constant.START, j] += drive * by_start - tau_mem * adjoint.states[Lambda.V, at + j]
        gradients.neurons[Constant.WHOLE, j] += drive * by_whole
        if adjoint.tails.shape[1] > 0:
            gradients.neurons[Constant.TAU_MEM, j] += start * (
                drive * by_tau - adjoint.tails[Tail.RESET, at + j] / tau_mem
            )
