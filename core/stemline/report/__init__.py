"""What a run did, for programs (report.json) and for people (report.html)."""

from stemline.report.build import report_of
from stemline.report.page import render_page

__all__ = ["render_page", "report_of"]
