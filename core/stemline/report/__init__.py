"""The report of a run: report.json for programs and report.html for people."""

from stemline.report.build import report_of
from stemline.report.page import render_page

__all__ = ["render_page", "report_of"]
