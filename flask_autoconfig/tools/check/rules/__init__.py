"""The rules: functions that look at a context and yield findings; `run` lists them."""
