"""Tools for tests: tasks in every mode outside a scheduler, and what every service must do."""
