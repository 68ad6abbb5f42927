"""Which files of tests take longest; a worker begins with them, so that none is left at the end.

Those that wait for processes and those that work come in turns. The order says
nothing of what is tested. It is one order for what runs every time and for what runs deep.
"""

from __future__ import annotations

DEAREST = (
    "tests/privacy/test_mutants.py",
    "tests/processes/test_kills_over_flower.py",
    "tests/simulations/real_time/test_real_time.py",
    "tests/processes/test_federation.py",
    "tests/processes/test_kill_matrix.py",
    "tests/faults/test_hostile_fuzz.py",
    "tests/simulations/test_cluster.py",
    "tests/faults/test_kills_joining.py",
    "tests/processes/test_page_browser.py",
    "tests/simulations/sweep/test_sweep_on_ray.py",
    "tests/privacy/test_families_release.py",
    "tests/processes/test_proxy.py",
    "tests/processes/test_reverse_proxy.py",
    "tests/simulations/test_shared_noise.py",
    "tests/deploy/test_container_rights.py",
    "tests/simulations/test_values.py",
    "tests/faults/test_ledger_random_faults.py",
    "tests/simulations/test_demo_digits.py",
    "tests/processes/test_kill_mutants.py",
    "tests/simulations/test_training.py",
    "tests/privacy/test_leak_canary.py",
    "tests/simulations/test_cli.py",
    "tests/simulations/audit/test_audit.py",
    "tests/test_readme.py",
    "tests/common/evaluate/test_evaluate.py",
    "tests/simulations/test_one_shot.py",
    "tests/simulations/test_pretrained.py",
    "tests/simulations/test_rules.py",
    "tests/simulations/test_pretrained_learns.py",
    "tests/simulations/test_report_browser.py",
    "tests/processes/test_page_proxy.py",
    "tests/golden/test_methods.py",
    "tests/server/federation/test_channel_faults.py",
    "tests/common/certificate/test_certificate_check.py",
    "tests/server/generator/test_training.py",
    "tests/client/source/test_source_postgresql.py",
    "tests/simulations/test_lacks.py",
    "tests/faults/test_ledger_faults.py",
    "tests/privacy/test_gradient_audit.py",
    "tests/client/serving/test_serve.py",
)


def begun_first(nodes: list[str]) -> list[int]:
    """Return the places of tests in the order in which they are begun, named by their node ids."""
    ranks = {path: rank for rank, path in enumerate(DEAREST)}
    files = [node.partition("::")[0] for node in nodes]
    return sorted(range(len(nodes)), key=lambda place: ranks.get(files[place], len(ranks)))
