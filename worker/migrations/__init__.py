"""The database's history, applied at start by `worker.store.Store.migrate`."""
