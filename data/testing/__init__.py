"""Throw-away database servers for tests and benchmarks."""

from data.testing.servers import DatabaseServer, LocalServer, RunningServer, find_programs, local_server

__all__ = ["DatabaseServer", "LocalServer", "RunningServer", "find_programs", "local_server"]
