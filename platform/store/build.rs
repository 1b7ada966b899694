//! The macros of queries depend on the schema and on `sqlx.toml`, and cannot say so: code of an older schema would read
//! columns of `SELECT *` in another order.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
    println!("cargo::rerun-if-changed=sqlx.toml");
}
