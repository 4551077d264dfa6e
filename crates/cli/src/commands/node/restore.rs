//! The words of `tocsin restore`.

use std::path::PathBuf;

use crate::commands::backup::BackupPassphrase;

/// Make a node of a backup, in a home in which nothing is.
///
/// The node goes on under its name where the backup ends: under new logs, so that it never contradicts what it said since, which it
/// takes back from its partners, as it does what they retracted, erased and changed. Until it heard of them no answer of it is
/// complete. What only the lost machine knew since then, such as its own circle, is not in it. The machine that was backed up must
/// not run again.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin --home ./aa restore /mnt/stick/cert-aa.backup
  tocsin --home ./aa restore nightly.backup --passphrase-file /run/credentials/backup")]
pub struct Args {
    /// The backup
    pub file: PathBuf,
    /// Where its passphrase comes from
    #[command(flatten)]
    pub passphrase: BackupPassphrase,
}
