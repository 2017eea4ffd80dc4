"""Texts in pictures, with fonts that have their letters."""

import shutil
import string

import numpy as np
import pytest

from ppcls.utils import lettering

CAT, DOG = "猫", "狗"


def write_font(path, letters):
    """Write a font that has some letters, each a box of its own width, and a thin box for all others."""
    builder = pytest.importorskip("fontTools.fontBuilder").FontBuilder(1000, isTTF=True)
    pens = pytest.importorskip("fontTools.pens.ttGlyphPen")
    names = [".notdef", *(f"letter{index}" for index in range(len(letters)))]

    def box(width):
        pen = pens.TTGlyphPen(None)
        pen.moveTo((0, 0))
        for point in ((0, 700), (width, 700), (width, 0)):
            pen.lineTo(point)
        pen.closePath()
        return pen.glyph()

    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(letter): name for letter, name in zip(letters, names[1:])})
    builder.setupGlyf({name: box(100 + 50 * index) for index, name in enumerate(names)})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Test", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path.parent.mkdir(parents=True, exist_ok=True)
    builder.save(path)


@pytest.fixture
def fonts(tmp_path, monkeypatch):
    """Return a folder whose fonts are the installed ones."""

    def forget():
        lettering._fonts.cache_clear()
        lettering._find.cache_clear()

    monkeypatch.setattr(lettering, "_folders", lambda: [tmp_path / "fonts"])
    forget()
    yield tmp_path / "fonts"
    forget()


def test_ascii_needs_no_font(fonts):
    assert lettering.can_draw("Class 3, 98.2 %")
    assert not lettering.can_draw(CAT)
    assert lettering.font_for("a", 12.0).getlength("abc") > 0


def test_a_font_that_has_all_letters_is_taken(fonts):
    fonts.mkdir()
    (fonts / "damaged.ttf").write_bytes(b"no font")
    write_font(fonts / "a.ttf", CAT)
    write_font(fonts / "deep" / "b.ttf", CAT + DOG + " 0123456789.")
    assert lettering.can_draw(CAT)
    assert lettering.can_draw(f"{CAT} 0.95")
    assert lettering.can_draw(CAT + DOG)
    assert not lettering.can_draw("é")
    assert lettering.font_for(CAT + DOG, 10.0).getlength(CAT + DOG) == pytest.approx(20, abs=1)
    line, base = lettering.line_of_text(CAT + DOG, 20.0, 25)
    assert line.shape[1] == 25  # the second letter does not fit
    assert line[:, :20].max() == 255
    assert not line[:, 20:].any()
    assert 10 < base < line.shape[0]


def test_numbers_in_place_of_names(fonts):
    fonts.mkdir()
    write_font(fonts / "a.ttf", DOG)
    names = lettering.DrawableNames(["bee", CAT, DOG, CAT + CAT, "é"])
    assert names.numbers == {CAT: "1", CAT + CAT: "3", "é": "4"}
    assert names.replace(f"{CAT}{CAT} 0.91\n{CAT} 0.09") == "3 0.91\n1 0.09"
    assert names.replace(f"{DOG}\nis bee") == f"{DOG}\nis bee"


def test_a_contact_sheet_with_letters_of_a_font(fonts, caplog):
    from ppcls.data.inspection.contact_sheets import contact_sheet

    images = [np.full((96, 96, 3), 200, np.uint8)] * 2
    question = contact_sheet(images, ["?", "?"])
    np.testing.assert_array_equal(contact_sheet(images, [CAT, CAT]), question)
    assert "no installed font has all letters" in caplog.text
    fonts.mkdir()
    write_font(fonts / "a.ttf", CAT)
    lettering._fonts.cache_clear()
    lettering._find.cache_clear()
    drawn = contact_sheet(images, [CAT, "?"])
    assert (drawn != question).any()
    below = drawn[100:]
    assert below[:, :104].min() == 0  # black
    np.testing.assert_array_equal(drawn[:, 104:], question[:, 104:])


def test_a_report_with_names_that_no_font_has(fonts, run, digits, recipe, tmp_path):
    """Its pictures have numbers, which a list explains, and its page has the names."""
    labels = "".join(f"{number} {CAT * (number + 1)}\n" for number in range(10))
    recipe.write_text(recipe.read_text().replace(str(digits), str(tmp_path / "digits")))
    shutil.copytree(digits, tmp_path / "digits")
    (tmp_path / "digits" / "labels.txt").write_text(labels, encoding="utf-8")
    done = run("train", "-c", recipe, "-o", "Global.report=true", "Global.epochs=1")
    assert done.stderr.count("no installed font has the letters of 10 class names (such as 猫)") == 1
    pictures = tmp_path / "out" / "pictures"
    assert (pictures / "class_names.txt").read_text(encoding="utf-8") == labels
    assert CAT in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    plain = (pictures / "confusion_matrix.png").read_bytes()
    write_font(fonts / "a.ttf", f"{CAT} .{string.ascii_letters}{string.digits}")
    lettering._fonts.cache_clear()
    lettering._find.cache_clear()
    done = run("report", tmp_path / "out")
    assert "no installed font" not in done.stderr
    assert (pictures / "confusion_matrix.png").read_bytes() != plain
    assert not (pictures / "class_names.txt").exists()
