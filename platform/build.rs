//! The migrations are compiled in, and a macro cannot say that a file which is not there yet matters.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}
