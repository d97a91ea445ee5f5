"""What options take, from their texts; a usage error tells what is expected."""

import math

import typer

from ..model.families import FAMILIES, FOURTEEN

_OF_A_PRIOR = "shrinkage", "degrees_of_freedom"


def as_finite(value):
    if not 0 <= value < float("inf"):
        raise typer.BadParameter(f"should be finite and 0 or more, got {value}")
    return value


def as_counts_or_none(text):
    return None if text is None else as_counts(text)


def as_count(value):
    if value is not None and value < 1:
        raise typer.BadParameter(f"should be 1 or more, got {value}")
    return value


def as_seed(value):
    if not 0 <= value < 2**32:
        raise typer.BadParameter(f"should be between 0 and {2**32 - 1}, got {value}")
    return value


def as_delimiter(text):
    text = "\t" if text == "\\t" else text
    if text is not None and (len(text) != 1 or text in '"\r\n'):
        raise typer.BadParameter(f"should be one character, or \\t for a tab, got {text!r}")
    return text


def as_types(types):
    for each in types or ():
        if each not in FAMILIES:
            raise typer.BadParameter(f"{each!r} is not a covariance type; choose from {', '.join(FAMILIES)}")
    return types


def as_noise(text):
    """The estimator's argument `noise` from 'auto' or a volume; None if there is to be no noise."""
    if text is None or text == "auto":
        return text and True
    try:
        volume = float(text)
    except ValueError:
        volume = math.nan
    if not 0 < volume < math.inf:
        raise typer.BadParameter(f"should be auto, or a volume above 0, got {text!r}")
    return volume


def as_listed_types(text):
    """The covariance types that 'full,tied' lists, or all fourteen of mclust."""
    return list(FOURTEEN) if text.strip() == "all" else as_types([each.strip() for each in text.split(",")])


def as_counts(text):
    """The numbers (of components, of factors) that '1-9' or '2,4,8' lists."""
    counts = set()
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if low.isdecimal() and (high.isdecimal() or not dash):
            counts.update(range(int(low), int(high or low) + 1))
        else:
            counts.add(0)
    if not counts or min(counts) < 1:
        raise typer.BadParameter(f"should be like 1-9 or 2,4,8, got {text!r}")
    return sorted(counts)


def as_degrees(text):
    """The estimator's argument `degrees_of_freedom` from 'shared' or a number; None: one estimate a component."""
    if text is None or text == "shared":
        return text
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise typer.BadParameter(f"should be shared, or a number above 0, got {text!r}")
    return value


def as_prior(text):
    """The estimator's argument `prior` from 'default' or 'shrinkage=0.1,degrees_of_freedom=5'."""
    if text is None or text == "default":
        return text
    prior = {}
    for part in text.split(","):
        name, _, value = (each.strip() for each in part.partition("="))
        try:
            prior[_OF_A_PRIOR[_OF_A_PRIOR.index(name)]] = float(value)
        except ValueError:
            like = "shrinkage=0.1 or shrinkage=0.1,degrees_of_freedom=5"
            raise typer.BadParameter(f"should be default, or like {like}, got {text!r}") from None
    return prior


def as_shrinkage(text):
    """The estimator's argument `shrinkage` from 'oas', 'ledoit-wolf' or a number from 0 to 1."""
    if text in (None, "oas", "ledoit-wolf"):
        return text
    try:
        if 0 <= (value := float(text)) <= 1:
            return value
    except ValueError:
        pass
    raise typer.BadParameter(f"should be oas, ledoit-wolf or a number from 0 to 1, got {text!r}")
