"""What a finished run shows: tables, curves and confusion matrices."""

from efficientnet.reporting.report import write_report
from efficientnet.reporting.tables import stage_table

__all__ = ["stage_table", "write_report"]
