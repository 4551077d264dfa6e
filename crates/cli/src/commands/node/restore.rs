//! The words of `tocsin restore`.

use std::path::PathBuf;

use crate::commands::backup::BackupPassphrase;

/// Make a node of a backup, in a home in which nothing is.
///
/// The node goes on under its name where the backup ends: under new logs, so that it never contradicts what it said since, which it
/// takes back from its partners, as it does what they retracted, erased and changed. Until it heard of them no answer of it is
/// complete.
///
/// What ended since the backup is not shown and is erased, if this machine's clock is right. Where the backup is older than a few
/// minutes that is asked, or said by --confirm-clock. Otherwise the node is in doubt about the time until a partner's clock or
/// `tocsin clock confirm` settles it: it shows what it has as incomplete, and neither erases nor signs. What only the lost machine knew since then, such as its own circle, is not in it. The machine that was backed up must
/// not run again.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin --home ./aa restore /mnt/stick/cert-aa.backup
  tocsin --home ./aa restore nightly.backup --confirm-clock --passphrase-file /run/credentials/backup")]
pub struct Args {
    /// The backup
    pub file: PathBuf,
    /// Say that this machine's clock is right, instead of being asked
    #[arg(long)]
    pub confirm_clock: bool,
    /// Where its passphrase comes from
    #[command(flatten)]
    pub passphrase: BackupPassphrase,
}
