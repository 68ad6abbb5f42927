from silosynth.server.planning import new_plan
from silosynth.simulations.demo_insurers import demo_schema, demo_silos
from silosynth.simulations.run import Engine, simulate
from silosynth.simulations.run_files import RunResult
from silosynth.simulations.tables import silo_name, split_table

__all__ = [
    "Engine",
    "RunResult",
    "demo_schema",
    "demo_silos",
    "new_plan",
    "silo_name",
    "simulate",
    "split_table",
]
