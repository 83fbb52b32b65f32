"""From what size on a number that only decays is taken for zero: states, adjoints, and the moments of optimisers.

Such a number ends as a denormal one, below 2.2e-308, with which processors are slow. Setting it to zero from NEGLIGIBLE
on moves no result: added to anything above 1e-274 it is lost in rounding. As nearly 18 decades are left in between,
nobody needs to look at every step, only often enough: they are 40 time constants, or 386 steps of a moment at beta =
0.9. Each place that forgets says how often it looks, FORGET_EVERY.
"""

NEGLIGIBLE = 1e-290
