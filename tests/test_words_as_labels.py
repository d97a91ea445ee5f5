"""Labels that are words, categories or numbers with gaps: what `fit` takes, and how they come back."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

import fastem
from fastem import GaussianMixture
from fastem.sources import ParquetSource

from .fits import assert_same_bits, fitted, mixture, points, quietly

pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
X, GROUPS = points(300)
NAMES = np.array(["auk", "bee", "cow"], dtype=object)
WORDS = NAMES[GROUPS]
SOME = np.where(np.arange(300) % 3 == 0, -1, GROUPS)  # two thirds are labelled
SOME_WORDS = np.where(SOME < 0, None, WORDS)


@pytest.mark.parametrize(
    "words",
    [
        WORDS,
        WORDS.tolist(),
        tuple(WORDS),
        WORDS.astype("U"),
        WORDS.astype("S"),
        pd.Series(WORDS),
        pd.Series(WORDS, dtype="string"),
        pd.Series(WORDS, dtype="category"),
        pd.Categorical(WORDS, categories=["auk", "ape", "bee", "cow"]),
        pa.array(WORDS.tolist()),
    ],
    ids=lambda words: f"{type(words).__name__}-{getattr(words, 'dtype', '')}",
)
def test_words_of_every_kind_are_groups(words):
    """The fit is that with the components' numbers, and what comes back are the words."""
    model, of_numbers = fitted(X, labels=words), fitted(X, labels=GROUPS)
    assert_same_bits(model, of_numbers)
    assert_array_equal(model.classes_, NAMES)
    assert_array_equal(model.component_names_, NAMES)
    assert_array_equal(model.predict(X), NAMES[of_numbers.predict(X)])
    assert not hasattr(of_numbers, "classes_") and of_numbers.predict(X).dtype == np.int64


@pytest.mark.parametrize(
    "words",
    [
        SOME_WORDS,
        ["" if word is None else word for word in SOME_WORDS],
        [np.nan if word is None else word for word in SOME_WORDS],
        [-1 if word is None else word for word in SOME_WORDS],
        pd.Series(SOME_WORDS, dtype="string"),
        pd.Series(SOME_WORDS, dtype="category"),
    ],
)
def test_points_without_a_word_are_unlabelled(words):
    assert_same_bits(fitted(X, labels=words), fitted(X, labels=SOME))


@pytest.mark.parametrize(
    "numbers",
    [
        pd.Series(SOME).where(SOME >= 0),  # float64 with NaN
        pd.Series(SOME, dtype="Int64").mask(SOME < 0),
        [None if k < 0 else k for k in SOME.tolist()],
        pd.Categorical.from_codes(SOME, categories=[0, 1, 2]),
        GROUPS.astype(float),
    ],
)
def test_numbers_with_gaps(numbers):
    model = fitted(X, labels=numbers)
    assert_same_bits(model, fitted(X, labels=GROUPS if isinstance(numbers, np.ndarray) else SOME))
    assert not hasattr(model, "classes_")


def test_categories_have_an_order_of_their_own():
    order = ["cow", "auk", "bee"]
    model = fitted(X, labels=pd.Categorical(WORDS, categories=order, ordered=True))
    assert model.classes_.tolist() == order
    assert_array_equal(model.predict(X), fitted(X, labels=WORDS).predict(X))


def test_components_without_a_word_are_named_too():
    words = np.where(GROUPS == 0, None, WORDS)
    model = fitted(X, labels=words)
    assert model.classes_.tolist() == ["bee", "cow", "new 1"]
    assert np.mean(model.predict(X)[GROUPS == 0] == "new 1") > 0.8


def test_words_come_back_from_everything(tmp_path):
    model = fitted(pd.DataFrame(X, columns=list("abcd")), labels=SOME_WORDS)
    frame = pd.DataFrame(X, columns=list("abcd"))
    predicted = model.predict(frame)
    model.save(tmp_path / "model.npz")
    assert_array_equal(fastem.load(tmp_path / "model.npz").predict(frame), predicted)
    assert set(model.sample(50)[1]) <= set(NAMES)
    assert_array_equal(mixture().fit_predict(X, labels=SOME_WORDS), predicted)
    assert set(model.marginal(["b"]).predict(frame[["b"]])) <= set(NAMES)
    assert list(model.summary().index) == NAMES.tolist()
    assert model.sorted(by="a").classes_.tolist() == NAMES[np.argsort(model.means_[:, 0])].tolist()
    assert quietly(model, X).predict(X).dtype == np.int64  # a new fit without words forgets them


def test_a_stream_and_a_warm_start_go_on_with_words():
    model = fitted(X, labels=SOME_WORDS)
    one, other = fitted(X, labels=SOME_WORDS), fitted(X, labels=SOME)
    one.partial_fit(X[:100], labels=WORDS[:100])
    other.partial_fit(X[:100], labels=GROUPS[:100])
    assert_same_bits(one, other)
    assert one.predict(X[:1])[0] in NAMES
    means = model.means_
    with pytest.raises(ValueError, match="the word 'dog', but the fitted components are called auk, bee, cow"):
        model.partial_fit(X[:2], labels=["dog", "cow"])
    with pytest.raises(ValueError, match="'dog'"):
        model.set_params(warm_start=True).fit(X, labels=np.where(GROUPS, WORDS, "dog"))
    assert model.means_ is means
    with pytest.raises(ValueError, match="only if the components have names"):
        mixture().partial_fit(X, labels=WORDS)
    nameless = fitted(X, labels=GROUPS, warm_start=True)
    with pytest.raises(ValueError, match="warm_start=True goes on from have no names: set component_names_"):
        nameless.fit(X, labels=WORDS)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.array(list("abcd") * 75), r"4 different words \(a, b, c, d\), more than n_components = 3: raise"),
        (["a", 7] * 150, "all integers or all words, .* but they are some of each"),
        ([0, 0.5] * 150, "integers"),
        ([{}, 1] * 150, "unhashable|all integers or all words"),
        ([0.5, "a"] * 150, "all integers or all words, .* but one is 0.5, a float"),
    ],
)
def test_labels_that_say_nothing(labels, match):
    with pytest.raises((ValueError, TypeError), match=match):
        mixture().fit(X, labels=labels)


def test_words_in_a_column_of_parquet(tmp_path):
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "kind": pa.array(SOME_WORDS.tolist())})
    parquet.write_table(table, tmp_path / "x.parquet")
    model = fitted(ParquetSource(tmp_path / "x.parquet"), labels="kind")
    assert_same_bits(model, fitted(X[:, :2], labels=SOME))
    assert model.classes_.tolist() == NAMES.tolist()


def test_words_from_dask():
    array = pytest.importorskip("dask.array")
    model = fitted(X, labels=WORDS)
    lazy = model.predict(array.from_array(X, chunks=(70, 4)))
    assert lazy.dtype == object
    assert_array_equal(lazy.compute(), model.predict(X))


def test_checkpoints_know_the_words(tmp_path):
    model = GaussianMixture(3, random_state=0, algorithm="em", tol=1e-9)
    model.set_callbacks(fastem.callbacks.Checkpoint(tmp_path / "model.npz", every=1))
    quietly(model, X, labels=SOME_WORDS)
    assert fastem.load(tmp_path / "model.npz").classes_.tolist() == NAMES.tolist()
