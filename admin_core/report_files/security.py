"""What the HTML report may do: show itself. Nothing is loaded, nothing runs, nothing is sent."""

import base64
import hashlib
from importlib.resources import files

STYLE = (files("admin_core.report_files") / "templates" / "report.css").read_text("utf-8")


def content_security_policy() -> str:
    """Of the page; its one style sheet is known by its digest."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
