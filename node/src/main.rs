//! The `tocsin` binary: a thin door to the library, so that tests can use what it uses.

fn main() -> std::process::ExitCode {
    tocsin::main()
}
