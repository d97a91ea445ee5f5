"""What `select` shows: its table, a picture, and how far it is."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastem.plotting
from fastem import select

from .fits import points

X = 4 * points(300, n_features=2)[0]
pytestmark = pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")


def test_a_selection_is_a_table_with_the_best_marked():
    found = select(X, range(1, 5), ["full", "diag"], random_state=0, n_threads=1)
    text, best = str(found), found.best_estimator_
    assert repr(found) == text
    lines = text.splitlines()
    chosen = f"{best.n_components} components, {best.covariance_type} covariance"
    assert lines[0] == f"{chosen}: best of 8 combinations by BIC"
    (marked,) = [line for line in lines if line.startswith("* ")]
    row = found.best_index_
    assert marked.split()[1:3] == [str(best.n_components), best.covariance_type]
    assert f"{found.results_['bic'][row]:,.3f}" in marked
    table = lines[lines.index(marked) :][:8]
    ranked = np.argsort(found.results_["rank"])
    counts = found.results_["n_components"][ranked]
    assert [line.replace("*", " ").split()[0] for line in table] == list(map(str, counts))
    html = found._repr_html_()
    assert html.count("<tr>") == 9 and html.count("font-weight: bold") == len(table[0].split()) - 1
    many = select(X[:60], range(1, 8), ["EII", "spherical", "diag"], random_state=0, n_threads=1)
    assert "... and 1 more, all in results_" in str(many) and "... and 1 more" in many._repr_html_()


def test_a_selection_says_if_more_components_may_be_better():
    note = "the best number of components, 3, is the largest that was tried: try larger ones, too"
    found = select(X, range(1, 4), "full", random_state=0, n_threads=1)
    assert found.best_estimator_.n_components == 3 and found.notes == [note]
    assert f"Note: {note}." in str(found) and note in found._repr_html_()
    assert select(X, range(1, 6), "full", random_state=0, n_threads=1).notes == []
    assert select(X, 3, ["full", "diag"], random_state=0, n_threads=1).notes == []  # no other number was asked for


def test_select_tells_how_far_it_is(capsys):
    told = []
    found = select(X, range(1, 5), ["full", "diag"], random_state=0, n_threads=1, verbose=1, callbacks=told.append)
    assert capsys.readouterr().out.splitlines() == list(map(str, told))
    assert [(step.stage, step.n_done, step.n_all) for step in told] == [("all points", i, 8) for i in range(1, 9)]
    results = found.results_
    for i, step in enumerate(told):
        assert (step.n_components, step.covariance_type) == (results["n_components"][i], results["covariance_type"][i])
        assert step.value == results["bic"][i]
        assert step.best[2] == results["bic"][: i + 1].min()
    left = [step.seconds_left for step in told]
    assert left[:2] == [None, None] and (np.diff(left[2:]) <= 0).all() and left[-1] == 0
    assert "left" not in str(told[0]) and str(told[3]).endswith(" left")
    assert "left" not in str(told[-1])
    assert (np.diff([step.seconds for step in told]) > 0).all()
    quiet = select(X, range(1, 5), ["full", "diag"], random_state=0, n_threads=1)
    assert_array_equal(quiet.results_["bic"], results["bic"])
    assert capsys.readouterr().out == ""


def test_select_tells_of_its_sample_and_its_folds(monkeypatch):
    monkeypatch.setattr("fastem.selection.selector._POINTS", 100)
    monkeypatch.setattr("fastem.selection.selector._POINTS_A_COMPONENT", 10)
    told = []
    select(X, range(1, 4), "full", random_state=0, n_threads=1, callbacks=[told.append])
    stages = [step.stage for step in told]
    n_finished = stages.count("all points")
    assert stages == ["sample"] * 3 + ["all points"] * n_finished and n_finished >= 1
    assert [step.n_done for step in told] == [1, 2, 3, *range(1, n_finished + 1)]
    assert "1/3 (sample): K=1 full, BIC " in str(told[0])
    told.clear()
    found = select(X, [1, 2], "full", "held_out", n_folds=3, random_state=0, n_threads=1, callbacks=told.append)
    folds = [step for step in told if step.stage == "left-out points"]
    assert [(step.n_done, step.n_components) for step in folds] == [(i + 1, 1 + i % 2) for i in range(6)]
    assert [step.value for step in folds[-2:]] == found.results_["held_out"].tolist()


@pytest.mark.parametrize("callbacks", [3, "print", [print, None]])
def test_callbacks_that_can_not_be_called(callbacks):
    with pytest.raises(ValueError, match="callbacks should be functions of one argument"):
        select(X, 1, callbacks=callbacks)


def test_a_callback_that_fails_ends_the_selection():
    with pytest.raises(ZeroDivisionError):
        select(X, [1, 2], "full", callbacks=lambda step: 1 / 0)


def test_a_selection_draws_itself():
    found = select(X, range(1, 4), ["full", "diag"], criterion="held_out", n_folds=3, random_state=0, n_threads=1)
    display = found.plot()
    assert display.best_ == found.best_index_ and display.greater_is_better and display.criterion == "held_out"
    other = fastem.plotting.SelectionDisplay.from_results(found)
    for name, line in other.lines_.items():
        assert_array_equal(line.get_ydata(), display.lines_[name].get_ydata())
