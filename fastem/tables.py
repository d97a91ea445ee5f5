"""Tables for `print` and for notebooks."""

from html import escape

_CELL = "text-align: right; padding: 0 0.7em"


def as_text(head, rows, marked=()):
    """Aligned columns: a line of titles, then the rows; those `marked` (by number) begin with a star.

    Parameters
    ----------
    head : list of str
    rows : list of lists of str
    marked : collection of int
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    margin = 2 if marked else 0
    lines = [["", head], *(["* " if i in marked else "", row] for i, row in enumerate(rows))]
    return "\n".join(
        f"{mark:<{margin}}" + "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for mark, row in lines
    )


def as_html(head, rows, marked=(), caption="", notes=()):
    """An HTML table; the rows `marked` (by number) are bold. Parameters as in `as_text`, and texts above and below."""
    above = f'<caption style="text-align: left">{escape(caption)}</caption>' if caption else ""
    titles = "".join(f'<th style="{_CELL}">{escape(title)}</th>' for title in head)
    body = []
    for i, row in enumerate(rows):
        weight = "; font-weight: bold" if i in marked else ""
        cells = "".join(f'<td style="{_CELL}{weight}">{escape(cell)}</td>' for cell in row)
        body.append(f"<tr>{cells}</tr>")
    below = "".join(f"<div>{escape(note)}</div>" for note in notes)
    return f"<table>{above}<thead><tr>{titles}</tr></thead><tbody>{''.join(body)}</tbody></table>{below}"
