"""Figures as files: SVG and PNG.

What draws is a Rust library with a JavaScript engine of its own: half a second for the first
figure of a process and some hundredths for each further one, in 120 MB. So no server's process
should import this module.
"""

import re
from xml.sax.saxutils import escape

import vl_convert

from admin_core.figures.figure import Figure
from admin_core.figures.theme import INK, Layout, Theme, drawable, vega_lite

PNG_SCALE = 2.0


def png(figure: Figure, theme: Theme = Theme.LIGHT) -> bytes:
    """The figure as a picture of twice its size, for screens of high resolution."""
    # A picture has no page whose colours it could take.
    opaque = Theme.LIGHT if theme is Theme.PAGE else theme
    drawn: bytes = vl_convert.vegalite_to_png(
        vega_lite(figure, opaque), scale=PNG_SCALE, allowed_base_urls=[]
    )
    return drawn


def svg(figure: Figure, theme: Theme = Theme.LIGHT, layout: Layout = Layout.WIDE) -> str:
    """The figure as an SVG whose text stays text, with title and caption for who cannot see it."""
    drawn: str = vl_convert.vegalite_to_svg(vega_lite(figure, theme, layout), allowed_base_urls=[])
    if theme is Theme.PAGE:
        drawn = drawn.replace(INK[theme], "currentColor")
    # Several figures may stand in one page, where an id stands for one thing; and Vega counts on
    # from one figure to the next, which would make each drawing another file.
    for number, known in enumerate(re.findall(r'\bid="((?:gradient_|clip)\d+)"', drawn)):
        unique = f"{figure.name}_{number}"
        drawn = drawn.replace(f'id="{known}"', f'id="{unique}"')
        drawn = drawn.replace(f"url(#{known})", f"url(#{unique})")
    words = f"<title>{escape(drawable(figure.title))}</title>"
    words += f"<desc>{escape(drawable(figure.caption))}</desc>"
    start = drawn.index("<svg")
    end = drawn.index(">", start) + 1
    return f'{drawn[start : end - 1]} role="img">{words}{drawn[end:]}'
