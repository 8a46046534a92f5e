"""The report of an audit: a Report as JSON and as one self-contained page."""

from sordine.report.data import from_json, json_schema, read_report, to_json, write_report
from sordine.report.page import to_html

__all__ = ["from_json", "json_schema", "read_report", "to_html", "to_json", "write_report"]
