//! Boxes that reconnect by themselves and are paid while processes end: what comes back, what is lost, what is heard twice.

pub mod boxes;
pub mod payments;
pub mod tally;
