//! The command `tocsin`. It names its own side alone: what a node is made of is not linked, and takes no time at its start.

fn main() -> std::process::ExitCode {
    tocsin_cli::command_line::run()
}
