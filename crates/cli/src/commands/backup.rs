//! `tocsin backup`: the node's home and store, in one encrypted file, while it runs.

use std::io::{BufWriter, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tocsin_api::client::Stream;
use tocsin_api::route;
use tocsin_backup::{End, Head, PartsOut, SALT_LEN, STORE_PART_MAX, Sealing};
use tocsin_clock as clock;
use tocsin_home::{files, keys};
use tocsin_text as text;
use zeroize::Zeroizing;

use super::{Context, Passphrase, done};

/// Write all of this node to one encrypted file, while it runs.
///
/// The file has the configuration, the policy, the node's keys, the documents and every record that stands at this moment; nothing of
/// what was erased before it. It opens with its passphrase alone: keep that apart from it. What ends later ends in the file as well
/// only when the file is destroyed: keep no more of them than you need. The org's root key is not in it, as it is kept elsewhere.
///
/// `tocsin restore` makes a node of it, which goes on under the same name. Never run both.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin backup /mnt/stick/cert-aa.backup
  tocsin backup nightly.backup --passphrase-file /run/credentials/backup")]
pub struct Args {
    /// Where to write it; nothing is replaced
    file: PathBuf,
    #[command(flatten)]
    passphrase: BackupPassphrase,
}

/// Where the passphrase of a backup comes from.
#[derive(clap::Args, Debug, Clone)]
pub struct BackupPassphrase {
    /// Read the backup's passphrase from the first line of this file, instead of asking for it
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl BackupPassphrase {
    fn named(&self) -> Passphrase {
        Passphrase { passphrase_file: self.passphrase_file.clone() }
    }

    /// The passphrase of a file that there is.
    ///
    /// # Errors
    /// When there is neither a file nor a terminal.
    pub fn known(&self) -> Result<Zeroizing<String>> {
        if self.passphrase_file.is_some() {
            return Ok(self.named().read_file()?.unwrap_or_default());
        }
        super::ask_secret("Passphrase of the backup: ")?.context(
            "the backup is encrypted and there is no terminal to ask on: give --passphrase-file FILE",
        )
    }

    fn chosen(&self) -> Result<Zeroizing<String>> {
        let chosen = if self.passphrase_file.is_some() {
            self.named().read_file()?.unwrap_or_default()
        } else {
            let first = super::ask_secret("Passphrase for the backup: ")?.context(
                "the backup needs a passphrase and there is no terminal to ask on: give --passphrase-file FILE",
            )?;
            if super::ask_secret("Again: ")?.as_ref() != Some(&first) {
                bail!("the two passphrases differ: nothing was written, try again");
            }
            first
        };
        if chosen.len() < keys::PASSPHRASE_MIN {
            bail!("the passphrase is shorter than {} characters: choose a longer one", keys::PASSPHRASE_MIN);
        }
        Ok(chosen)
    }
}

/// What was written.
#[derive(Serialize)]
struct Written {
    file: String,
    bytes: u64,
    files: u64,
    pieces: u64,
    time: String,
}

/// Asks the node for its store as it is, and writes that with the files of the home.
///
/// # Errors
/// What was wrong, where, and how to mend it; there is no file then.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let home = context.home()?;
    if args.file.exists() {
        return Err(files::FileError::Exists { path: args.file }.into());
    }
    if home.running().is_none() {
        bail!("no node runs on {0}: start it with `tocsin --home {0} run`", home.path().display());
    }
    let identity = home.identity()?;
    let papers =
        home.papers()?.context("this node is in no mesh yet: there is nothing to save but its home")?;
    let time = clock::now_ms();
    let head = Head {
        mesh: papers.check()?.mesh,
        node: identity.node(),
        org: identity.card.entry.name.clone(),
        time,
    };
    let passphrase = args.passphrase.chosen()?;
    let mut salt = [0; SALT_LEN];
    salt.copy_from_slice(keys::fresh_seed()?.as_ref());
    let mut stream = context.client().stream(route::BACKUP)?;
    let mut end = End::default();
    files::write_new_by(&args.file, |file| -> Result<()> {
        let sealing = Sealing::new(BufWriter::new(file), &passphrase, salt)?;
        let mut parts = PartsOut::new(sealing, head)?;
        // Behind the moment of the store: what it rests on is no older.
        for name in home.kept()? {
            let bytes = home.read_kept(&name)?;
            parts.file(name, bytes.to_vec())?;
        }
        while let Some(piece) = next_piece(&mut stream).context("the node did not give all of its store")? {
            parts.piece(piece)?;
        }
        let (sealing, all) = parts.finish()?;
        end = all;
        sealing.finish()?;
        Ok(())
    })
    .with_context(|| format!("{} was not written, nothing is left of it", args.file.display()))?;
    let written = Written {
        file: args.file.display().to_string(),
        bytes: std::fs::metadata(&args.file)?.len(),
        files: end.files,
        pieces: end.pieces,
        time: clock::rfc3339(time),
    };
    context.print(&written, || {
        format!(
            "{} ({}): this node as of {}. Keep its passphrase apart from it, and the org's root key where it is: that is not in \
             it. `tocsin --home NEW restore {}` makes a node of it.",
            text::escape(&written.file),
            text::count(written.bytes, "byte"),
            clock::show(time),
            text::escape(&written.file),
        )
    })?;
    done()
}

/// A piece of the store, as the node sends it: its length, 4 bytes big-endian, and so many. A length of 0 says that all was sent.
fn next_piece(stream: &mut Stream) -> Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > STORE_PART_MAX {
        bail!("a piece of {length} bytes is longer than any of a store");
    }
    let mut piece = vec![0; length];
    stream.read_exact(&mut piece)?;
    Ok((length > 0).then_some(piece))
}
