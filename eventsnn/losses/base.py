"""What losses share: labels and cross-entropy."""

import numpy as np

from ..arrays import is_number, plain_array
from ..errors import InvalidInput


def check_labels(labels, n_samples, n_classes):
    """Return class labels as int64 (n_samples,); raises InvalidInput naming the entry that is out of range."""
    labels = plain_array(labels, "labels")
    if labels.shape != (n_samples,) or labels.dtype.kind not in "iu":
        raise InvalidInput("labels", None, (labels.dtype, labels.shape), f"integers of shape ({n_samples},)")
    if np.any(bad := (labels < 0) | (labels >= n_classes)):
        index = int(np.argmax(bad))
        raise InvalidInput("labels", index, int(labels[index]), f"classes from 0 to {n_classes - 1}")
    return labels.astype(np.int64)


def real(targets):
    if targets.dtype.kind not in "fiu":
        raise InvalidInput("labels", None, targets.dtype, "real numbers as targets")
    return targets.astype(np.float64)


def cross_entropy(logits, labels):
    """Return (values (n,), d value/d logits (n, k)) of the softmax cross entropy of ``logits`` (n, k)."""
    labels = check_labels(labels, *logits.shape)
    shifted = logits - np.max(logits.real, axis=1, keepdims=True)
    normaliser = np.log(np.sum(np.exp(shifted), axis=1))
    rows = np.arange(labels.size)
    gradient = np.exp(shifted - normaliser[:, None])
    gradient[rows, labels] -= 1.0
    return normaliser - shifted[rows, labels], gradient


def refuse_classes(loss):
    """Refuse to learn from a Dataset's labels what a loss wants targets for."""
    allowed = "a loss on class labels, which are what a Dataset holds"
    raise InvalidInput("loss", None, type(loss).__name__, allowed, "value_and_grad takes targets.")


def check_positive(name, value):
    if not (is_number(value) and 0 < value < np.inf):
        raise InvalidInput(name, None, value, "a finite number > 0 (ms)")
