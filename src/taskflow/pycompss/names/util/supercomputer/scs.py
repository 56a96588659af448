"""What the batch system's launcher says about the run, in environment variables. An unset one gives ""."""

from __future__ import annotations

import os


def get_master_node() -> str:
    """The node of the main program."""
    return os.environ.get("COMPSS_MASTER_NODE", "")


def get_master_port() -> str:
    """The port at which the main program listens."""
    return os.environ.get("COMPSS_MASTER_PORT", "")


def get_worker_nodes() -> str:
    """The nodes that run tasks, separated by blanks."""
    return os.environ.get("COMPSS_WORKER_NODES", "")


def get_xmls() -> tuple[str, str]:
    """The files that describe the nodes: project and resources."""
    return os.environ.get("COMPSS_PROJECT_XML", ""), os.environ.get("COMPSS_RESOURCES_XML", "")


def get_uuid() -> str:
    """The id of the run."""
    return os.environ.get("COMPSS_UUID", "")


def get_log_dir() -> str:
    """The folder for logs."""
    return os.environ.get("COMPSS_LOG_DIR", "")


def get_master_working_dir() -> str:
    """The folder for the main program's temporary files."""
    return os.environ.get("COMPSS_MASTER_WORKING_DIR", "")


def get_log_level() -> str:
    """The log level."""
    return os.environ.get("COMPSS_LOG_LEVEL", "")


def get_tracing() -> bool:
    """Whether the run is to be traced."""
    return os.environ.get("COMPSS_TRACING", "").lower() in ("true", "1")


def get_storage_conf() -> str:
    """The configuration file of the storage back-end."""
    return os.environ.get("COMPSS_STORAGE_CONF", "")


__all__ = [
    "get_log_dir",
    "get_log_level",
    "get_master_node",
    "get_master_port",
    "get_master_working_dir",
    "get_storage_conf",
    "get_tracing",
    "get_uuid",
    "get_worker_nodes",
    "get_xmls",
]
