"""Files of SLOs, as people and other tools write them: read into definitions and policies, and written."""

from neural_hive.slo_files.files import Form, Written, read, write
from neural_hive.slo_files.report import Finding, Outcome, Report

__all__ = ["Finding", "Form", "Outcome", "Report", "Written", "read", "write"]
