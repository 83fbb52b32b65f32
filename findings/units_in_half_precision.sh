#!/bin/sh
# Times in seconds as SHD's files hold them (float16), converted to ms by libraries of units.
#
# Versions: neo 0.14.6, quantities 0.16.4, pint 0.25.3, astropy 8.0.2, unyt 3.2.0, numpy 2.4.6 (Python 3.11).
# Guess: a conversion of units keeps the value to the precision that it had: 1.30078 s become 1300.78 ms, 70 s 70,000 ms.
# Seen: all five multiply in float16: 1301.0 ms, and inf from 65.52 s on, without a word; between 1.024 and 2.048 s all
# times land on whole ms. unyt makes float16 of int16 first: 100 s of int16 become inf ms.
# So: take the numbers to float64 before the conversion, values.magnitude.astype(float) * 1000.
#
# Ends with 0 while that is so, with 1 when a library does something else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install numpy==2.4.6 quantities==0.16.4 neo==0.14.6 pint==0.25.3 astropy==8.0.2 unyt==3.2.0 \
    >/dev/null 2>&1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import astropy.units
import neo
import numpy as np
import pint
import quantities
import unyt

seconds = np.array([0.7065, 1.3005, 70.0], np.float16)
converted = {
    "neo": neo.SpikeTrain(seconds, units="s", t_stop=100.0).rescale("ms").magnitude,
    "quantities": quantities.Quantity(seconds, "s").rescale("ms").magnitude,
    "pint": pint.UnitRegistry().Quantity(seconds, "s").to("ms").magnitude,
    "astropy": (seconds * astropy.units.s).to("ms").value,
    "unyt": unyt.unyt_array(seconds, "s").to("ms").value,
}
print("right     ", (seconds.astype(float) * 1000).tolist())
for name, values in converted.items():
    print(f"{name:<10}", values.tolist(), values.dtype)
whole = unyt.unyt_array(np.array([100], np.int16), "s").to("ms")
print("unyt int16", whole)
seen = all(values.tolist() == [706.5, 1301.0, np.inf] for values in converted.values()) and np.isinf(whole.value).all()
sys.exit(not seen)
PYTHON
