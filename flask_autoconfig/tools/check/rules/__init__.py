"""The rules: functions that look at a scene and yield findings; `run` lists them."""
