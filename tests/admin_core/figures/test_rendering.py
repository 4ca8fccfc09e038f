import json
import re
import xml.etree.ElementTree as ET

import pytest

from admin_core.figures.figure import Figure
from admin_core.figures.of_report import figures
from admin_core.figures.rendering import png, svg
from admin_core.figures.theme import Layout, Theme, vega_lite
from tests.admin_core.reports import HOSTILE, deep_diagnosis, diagnosis, raced

ALL = [*figures(diagnosis()), *figures(raced())]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("figure", ALL, ids=lambda figure: figure.name)
def test_an_svg_says_its_title_and_caption_and_loads_nothing(figure: Figure) -> None:
    root = ET.fromstring(svg(figure))
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title") == figure.title
    assert root.findtext(f"{SVG}desc") == figure.caption
    for element in root.iter():
        assert element.tag.removeprefix(SVG) not in {"script", "image", "foreignObject", "a", "use"}
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert "http" not in value


def test_a_hostile_name_is_a_name() -> None:
    root = ET.fromstring(svg(next(figure for figure in ALL if figure.name == "outcomes")))
    words = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert any(word.startswith("<img src=x onerror=alert(1)>") for word in words), words
    assert HOSTILE.endswith("\x07")


def test_a_theme_decides_the_background() -> None:
    figure = ALL[0]
    assert "#14171A" in svg(figure, Theme.DARK)
    assert "#FFFFFF" in svg(figure, Theme.LIGHT)
    of_page = svg(figure, Theme.PAGE)
    assert "currentColor" in of_page
    assert "#010203" not in of_page


def test_ids_of_two_figures_do_not_meet_in_one_page() -> None:
    drawn = svg(next(figure for figure in ALL if figure.name == "dependency"))
    assert 'id="dependency_' in drawn
    assert "url(#dependency_" in drawn


def test_a_png_is_one_and_the_spec_is_vega_lite() -> None:
    assert png(ALL[0], Theme.PAGE).startswith(b"\x89PNG\r\n")
    spec = json.loads(json.dumps(vega_lite(ALL[0]), allow_nan=False))
    assert spec["$schema"].startswith("https://vega.github.io/schema/vega-lite/")
    assert spec["description"] == ALL[0].caption


def test_figures_of_a_very_deep_model_stay_small() -> None:
    for figure in figures(deep_diagnosis(2_000)):
        assert len(svg(figure)) < 400_000, figure.name


@pytest.mark.parametrize("figure", ALL, ids=lambda figure: figure.name)
def test_a_narrow_figure_fits_a_telephone(figure: Figure) -> None:
    width = re.search(r'<svg[^>]* width="(\d+)', svg(figure, layout=Layout.NARROW))
    assert width is not None
    assert int(width[1]) <= 420
