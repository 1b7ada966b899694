//! Simulated soundboxes and a simulated acquirer, against any server of the platform's contract.

fn main() {}
