//! The `device-sim` executable; everything is in the library.

fn main() -> std::process::ExitCode {
    device_sim::cli::main()
}
