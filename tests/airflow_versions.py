"""What tests expect of older Airflow versions."""

from __future__ import annotations

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_2_PLUS, AIRFLOW_V_3_3_PLUS

#: Airflow 3.0 and 3.1 read the extra of an environment variable themselves, and report a bad one as no connection.
HIDES_BAD_EXTRA = AIRFLOW_V_3_0_PLUS and not AIRFLOW_V_3_2_PLUS
#: Before 3.3 a notifier keeps a template that renders to an empty text.
KEEPS_EMPTY_TEMPLATES = not AIRFLOW_V_3_3_PLUS
