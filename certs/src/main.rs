//! The fleet's certificate authority: CSR signing, X.509 identity of devices, server certificates.

fn main() {}
