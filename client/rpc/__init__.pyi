from .caller import Caller, RemoteGateway, is_serving
from .calls import AnswersRequests, SpeaksForSilo
from .front_door import DoorRules, FrontDoor, TurnedAway
from .listener import bind_socket, given_socket, remove_socket
from .server import Method, RpcServer, Service, gateway_service

__all__ = [
    "AnswersRequests",
    "Caller",
    "DoorRules",
    "FrontDoor",
    "Method",
    "RemoteGateway",
    "RpcServer",
    "Service",
    "SpeaksForSilo",
    "TurnedAway",
    "bind_socket",
    "gateway_service",
    "given_socket",
    "is_serving",
    "remove_socket",
]
