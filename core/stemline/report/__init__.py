"""The report of a run: report.json for programs, report.html for people, and previews that the page plays."""

from stemline.report.build import Delivery, report_of
from stemline.report.page import render_page
from stemline.report.previews import write_previews

__all__ = ["Delivery", "render_page", "report_of", "write_previews"]
