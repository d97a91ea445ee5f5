"""Words and numbers in pictures."""

import math
import re

import numpy as np

MINUS = "\N{MINUS SIGN}"
_MOST_DIGITS = 12  # of a number written without an exponent
_ALIKE = 3.0  # features whose standard deviations are in this ratio get the same number of decimals
_LINE = 60  # characters of a label along usual axes


def number(value, spread):
    """A number rounded to about a tenth of its standard deviation, `spread`."""
    value, spread = float(value), float(spread)
    spread = spread if spread > 0 and math.isfinite(spread) else abs(value) or 1.0
    return with_decimals(value, 1 - math.floor(math.log10(spread)))


def with_decimals(value, decimals):
    """A number with this many decimals; if it needs too many digits, with an exponent."""
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    n_digits = magnitude + decimals + 1
    if magnitude < _MOST_DIGITS and n_digits <= _MOST_DIGITS and decimals <= 6:
        text = f"{round(value, decimals):.{max(0, decimals)}f}"
    else:
        text = short(f"{value:.{min(6, max(1, n_digits))}g}")
    return (text[1:] if not float(text) else text).replace("-", MINUS) if text.startswith("-") else text


def short(text):
    """A number without what its exponent doesn't need: 1e9 for 1e+09."""
    return re.sub(r"e([+-])0*", lambda sign: "e" + sign[1].strip("+"), text)


def decimals(means, deviations, weights=None):
    """Decimals of each feature's means, (D,), the same for all components.

    They are those of a tenth of the usual standard deviation. Features of about the same spread get the same number.
    """
    spreads = _usual(deviations, weights)
    sizes = np.abs(means).max(axis=0)
    spreads = np.where((spreads > 0) & np.isfinite(spreads), spreads, np.where(sizes > 0, sizes, 1.0))
    order = np.argsort(spreads)
    together = np.log10(spreads[order])
    for group in np.split(np.arange(len(order)), np.flatnonzero(np.diff(together) > math.log10(_ALIKE)) + 1):
        together[group] = together[group].mean()
    result = np.empty(len(order), dtype=int)
    result[order] = 1 - np.floor(together)
    return result


def _usual(deviations, weights):
    """Weighted median of each column."""
    weights = np.ones(len(deviations)) if weights is None else weights
    order = np.argsort(deviations, axis=0)
    total = np.cumsum(weights[order], axis=0)
    middle = (total < 0.5 * total[-1]).sum(axis=0)
    return np.take_along_axis(deviations, order, axis=0)[middle, np.arange(deviations.shape[1])]


def point(values, decimals, most=4):
    """The coordinates of a point in brackets; of more than `most` the first ones."""
    texts = [with_decimals(float(value), int(n)) for value, n in zip(values[:most], decimals[:most], strict=True)]
    texts += ["…"] if len(values) > most else []
    return f"({', '.join(texts)})" if len(texts) > 1 else texts[0]


def nats(value):
    """A mean log-likelihood as text: three decimals, or three digits if it is so large that decimals say nothing."""
    text = f"{value:.3f}" if abs(value) < 1e4 else short(f"{value:.2e}") if np.isfinite(value) else str(value)
    return text.replace("-", MINUS)


def counted(n, what):
    """'1 point', '1,234 points'."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def fitted(name, share=1.0, n_lines=2):
    """A name as the label of axes of this relative width: in up to `n_lines` lines, shortened in the middle."""
    return "\n".join(wrapped(name, max(14, int(_LINE * share)), n_lines))


def wrapped(name, width, n_lines):
    """Lines of at most `width` characters. They are broken after blanks and marks such as '_' and '-'."""
    lines = [""]
    for part in re.findall(r"[^\s_\-/,;:.]*[\s_\-/,;:.]*", name):
        if len((lines[-1] + part).rstrip()) > width and lines[-1]:
            lines.append("")
        lines[-1] += part
    lines = [line.strip() for line in lines]
    if len(lines) > n_lines or max(map(len, lines)) > width:
        text = shortened(name, width * n_lines)
        lines = [text[i : i + width].strip() for i in range(0, len(text), width)]
    return lines


def shortened(name, most):
    """A name of at most this many characters, without its middle if it is longer."""
    if len(name) <= most:
        return name
    head = (most - 1 + 1) // 2
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"


def clipped(title, most):
    """The lines of a title without the last clauses where they have more characters than `most`."""
    lines = []
    for line in title.split("\n"):
        while len(line) > most and ", " in line:
            line = line.rpartition(", ")[0]
        lines += [line] if len(line) <= most else []
    return "\n".join(lines)
