//! End-to-end stories on the real broker, the real database and the real simulator.
