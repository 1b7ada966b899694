//! The migrations are compiled in, and a macro cannot say that a file which is not there yet matters. Neither does the
//! macro of a query say that it reads `sqlx.toml`.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
    println!("cargo::rerun-if-changed=sqlx.toml");
}
