//! Pure rules of payments and fleet: states, fees, QRIS codes, signatures. No IO, no clock, no database.
