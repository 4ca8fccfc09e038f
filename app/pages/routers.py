"""All pages, in the order in which their addresses are tried."""

from app.pages import (
    assets,
    comparison,
    diagnosis,
    new_diagnosis,
    race,
    run,
    sign_in,
    start,
)

PAGES = tuple(
    part.router
    for part in (start, new_diagnosis, diagnosis, race, run, comparison, sign_in, assets)
)
