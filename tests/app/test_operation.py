from tests.service import Service


def test_healthz_says_that_the_process_answers(service: Service) -> None:
    assert service.http.get("/healthz").json() == {"status": "ok"}


def test_readyz_says_that_database_broker_and_worker_are_there(service: Service) -> None:
    checks = service.http.get("/readyz").json()["checks"]
    assert checks == {"database": True, "broker": True, "worker": True}
