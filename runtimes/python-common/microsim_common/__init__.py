"""What the mock services in Python share: decisions, chains, calls, faults and metrics."""

from .decide import Endpoint
from .main import load_spec, tell_address, until_end
from .service import Answer, Incoming, Service, error_answer

__all__ = ["Answer", "Endpoint", "Incoming", "Service", "error_answer", "load_spec", "tell_address", "until_end"]
