//! From the command to the node program.
//!
//! `tocsin` is small, so that a script may call it a thousand times; what needs an engine or a policy is in a second program
//! beside it. For such a verb the process becomes that program: its id, input, output, signals and exit code stay the same.

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Name of the command's file.
const COMMAND: &str = "tocsin";
/// Name of the node program's file, in the folder of the command's.
pub const NODE_PROGRAM: &str = "tocsin-node";
/// The version of both, which must be one: they share the words of the command line and the forms of homes.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Variable of the environment by which the command tells its version.
const VERSION_VARIABLE: &str = "TOCSIN_COMMAND_VERSION";

/// The node program was not started.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The system does not say where this program is.
    #[error("where this program is, and {NODE_PROGRAM} beside it, is not known: {0}")]
    Here(std::io::Error),
    /// It is not there.
    #[error(
        "{} is not there, the second program of every installation, which this verb needs: install both again \
         (`cargo install --path node`), or copy both from the folder in which they were built (`cargo build --release`)",
        .0.display()
    )]
    Missing(PathBuf),
    /// The system does not start it.
    #[error("{} cannot be started: {source}", .program.display())]
    Start {
        /// Its file.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The two are not of one version.
    #[error(
        "{NODE_PROGRAM} is of version {VERSION} and `tocsin` of version {0}: install both again from one version \
         (`cargo install --path node`)"
    )]
    Version(String),
}

/// Becomes the node program, with the same words. Comes back only with what was in the way.
///
/// # Errors
/// [`HandoverError`].
pub(crate) fn to_node_program() -> Result<Infallible, HandoverError> {
    // The file itself, where a link led to it: the other is beside that.
    let here = std::env::current_exe().map_err(HandoverError::Here)?;
    let program = here.parent().unwrap_or(Path::new("/")).join(NODE_PROGRAM);
    let mut words = std::env::args_os();
    let mut command = Command::new(&program);
    // As it was called, for who looks at the list of processes.
    command.arg0(words.next().unwrap_or_else(|| COMMAND.into())).args(words).env(VERSION_VARIABLE, VERSION);
    let source = command.exec();
    Err(match source.kind() {
        std::io::ErrorKind::NotFound => HandoverError::Missing(program),
        _ => HandoverError::Start { program, source },
    })
}

/// The command's file, for people to type: beside the node program, which does the same where it was built alone.
#[must_use]
pub fn command() -> PathBuf {
    match std::env::current_exe() {
        Ok(here) => {
            let command = here.with_file_name(COMMAND);
            if command.exists() { command } else { here }
        }
        Err(_) => COMMAND.into(),
    }
}

/// In the node program: whether the command that handed over to it, if one did, is of its version.
///
/// # Errors
/// [`HandoverError::Version`].
pub(crate) fn check_version() -> Result<(), HandoverError> {
    match std::env::var_os(VERSION_VARIABLE) {
        Some(version) if version != VERSION => {
            Err(HandoverError::Version(version.to_string_lossy().into_owned()))
        }
        _ => Ok(()),
    }
}
