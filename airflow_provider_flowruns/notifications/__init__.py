"""Notifiers, which start a flow from the callback of a task or DAG."""
