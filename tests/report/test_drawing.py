"""What charts are drawn of."""

import numpy as np

from ppcls.report.charts import LineChart, Matrix, Series
from ppcls.report.drawing import Line, Text, draw
from ppcls.report.svg import draw_chart


def ticks(x_label, xs):
    """Return the numbers below the axis of x, with their anchors, and the width of the chart."""
    drawing = draw(LineChart("", x_label, "", [Series("", [(x, 0.5) for x in xs])], y_range=(10.0, 20.0)))
    texts = [shape for shape in drawing.shapes if isinstance(shape, Text) and shape.text != x_label]
    lowest = max(text.place[1] for text in texts)
    return [(text.text, text.anchor) for text in texts if text.place[1] == lowest], drawing.width


def test_epochs_are_whole():
    assert [text for text, _ in ticks("epoch", [1, 2, 3])[0]] == ["1", "2", "3"]
    assert [text for text, _ in ticks("epoch", [1])[0]] == ["1"]
    assert "1.5" in [text for text, _ in ticks("size", [1, 2, 3])[0]]


def test_the_last_number_is_not_cut_off():
    found, _ = ticks("learning rate", [0.001, 0.003])
    assert found[0] == ("0.001", "middle")
    assert found[-1] == ("0.003", "end")


def test_a_matrix_is_closed_and_no_larger_than_its_letters_allow():
    chart = Matrix("Confusion", ["a", "b"], np.array([[3, 1], [0, 4]]))
    drawing = draw(chart)
    right = max(x for shape in drawing.shapes if isinstance(shape, Line) for x, _ in shape.points)
    low = [shape for shape in drawing.shapes if isinstance(shape, Line) and (right, right) in shape.points]
    assert low
    assert f"max-width: {1.4 * drawing.width:.0f}px" in draw_chart(chart)
    assert "max-width" not in draw_chart(LineChart("", "x", "y", [Series("", [(0, 1), (1, 2)])]))
