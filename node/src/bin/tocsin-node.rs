//! The node program, which the command `tocsin` becomes where a verb needs a node: a thin door to the library, so that tests can
//! use what it uses.

fn main() -> std::process::ExitCode {
    tocsin::main()
}
