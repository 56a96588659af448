"""Sessions of notebooks."""

from taskflow.pycompss.placeholders import missing

start = missing("start")
stop = missing("stop")
current_task_graph = missing("current_task_graph")
complete_task_graph = missing("complete_task_graph")
tasks_info = missing("tasks_info")
tasks_status = missing("tasks_status")
statistics = missing("statistics")
resources_status = missing("resources_status")
monitoring_information = missing("monitoring_information")
