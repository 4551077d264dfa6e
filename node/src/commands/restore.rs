//! `tocsin restore`: a node from a backup.

use std::io::{BufReader, Read};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tocsin_backup::{Head, Opened, Part, Parts};
use tocsin_cli::commands::node::restore::Args;
use tocsin_cli::commands::{Context, confirm, done};
use tocsin_clock as clock;
use tocsin_engine::restore::{ClockOf, Restoring};
use tocsin_home::{Home, HomeError, files};
use tocsin_text as text;

/// A backup that is older needs a word on the clock: what clocks may differ by (`protocol/src/clock.rs`), in ms.
const DOUBT_MS: u64 = 600_000;

/// What was restored.
#[derive(Serialize)]
struct Restored {
    home: String,
    org: String,
    node: String,
    mesh: String,
    time: String,
    clock: &'static str,
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let home = Home::at(&context.home);
    if !home.is_free()? {
        bail!("{} is not empty: name a folder that is, nothing was restored", home.path().display());
    }
    let shown = args.file.display();
    let file = files::open_secret(&args.file)?;
    let passphrase = args.passphrase.known()?;
    let opened = Opened::new(BufReader::new(file), &passphrase)
        .with_context(|| format!("{shown} was not restored"))?;
    let refused = || format!("{shown} was not restored, nothing is left of it");
    let mut parts = Parts::new(opened);
    let Some(Part::Head(head)) = parts.next_part().with_context(refused)? else {
        bail!("{shown} has no head")
    };
    let clock_of = clock_of(&head, args.confirm_clock)?;
    let aside = Aside::make(&home)?;
    fill(&aside.0, &head, parts, clock_of).with_context(refused)?;
    aside.into_place(home.path())?;
    let restored = Restored {
        home: home.path().display().to_string(),
        org: head.org.clone(),
        node: head.node.to_string(),
        mesh: head.mesh.to_string(),
        time: clock::rfc3339(head.time),
        clock: match clock_of {
            ClockOf::Snapshot => "as of the backup",
            ClockOf::Machine => "confirmed",
        },
    };
    let in_doubt = clock_of == ClockOf::Snapshot && is_later(&head);
    context.print(&restored, || {
        format!(
            "{} is the node of {} as of {}. The machine that was backed up must not run again.\n{}Next: tocsin --home {} run",
            text::escape(&restored.home),
            text::escape(&restored.org),
            clock::show(head.time),
            if in_doubt {
                "What ended since then is neither hidden nor erased before a partner's clock, or `tocsin clock confirm`, says that \
                 this machine's clock is right.\n"
            } else {
                ""
            },
            text::escape(&restored.home),
        )
    })?;
    done()
}

/// Whether this machine's clock says a time that the node cannot know to have come, as it knew it at the backup.
fn is_later(head: &Head) -> bool {
    clock::now_ms() > head.time.saturating_add(DOUBT_MS)
}

/// By which clock the node is to begin.
fn clock_of(head: &Head, confirmed: bool) -> Result<ClockOf> {
    let now = clock::now_ms();
    if now.saturating_add(DOUBT_MS) < head.time {
        if confirmed {
            bail!(
                "this machine's clock says {}, which is before the backup, of {}: set it right, nothing was restored",
                clock::show(now),
                clock::show(head.time)
            );
        }
        return Ok(ClockOf::Snapshot);
    }
    let asked = || {
        confirm(&format!(
            "It is {} by this machine's clock, and the backup is of {}. Is the clock right?",
            clock::show(now),
            clock::show(head.time)
        ))
    };
    let is_right = confirmed || (is_later(head) && asked()?);
    Ok(if is_right { ClockOf::Machine } else { ClockOf::Snapshot })
}

/// Fills a home with what a backup has behind its head, and looks whether it is that of a node.
fn fill(home: &Home, head: &Head, mut parts: Parts<impl Read>, clock_of: ClockOf) -> Result<()> {
    let mut store = Restoring::create(home, head.mesh, clock_of)?;
    while let Some(part) = parts.next_part()? {
        match part {
            Part::File { name, bytes } => home.put_back(&name, &bytes)?,
            Part::Store(piece) => store.take(&piece)?,
            Part::Head(_) | Part::End(_) => {}
        }
    }
    store.finish()?;
    // A home that does not open would be found out when it is needed.
    let home = Home::open(home.path())?;
    let identity = home.identity()?;
    home.config()?;
    let papers = home.papers()?.context("it has no documents of a mesh")?.check()?;
    if identity.node() != head.node || papers.mesh != head.mesh {
        return Err(HomeError::Mixed(home.path().to_owned()).into());
    }
    Ok(())
}

/// A home beside the one that is to be: it takes its place when it is whole, and goes where it does not become so.
struct Aside(Home);

impl Aside {
    fn make(home: &Home) -> Result<Self> {
        let Some(name) = home.path().file_name() else {
            bail!("{} cannot be a home: name a folder in it", home.path().display());
        };
        let mut beside = name.to_owned();
        beside.push(".restoring");
        let path = home.path().with_file_name(beside);
        if path.exists() {
            bail!(
                "{} is there: another restore is under way, or one was broken off. Remove it if none is",
                path.display()
            );
        }
        files::make_folder(&path)?;
        Ok(Self(Home::at(&path)))
    }

    fn into_place(self, place: &Path) -> Result<()> {
        let path = self.0.path();
        for folder in [&path.join("documents"), &path.join("keys"), &path.join("store"), path] {
            files::sync_folder(folder)?;
        }
        std::fs::rename(path, place).with_context(|| {
            format!(
                "{} cannot take the place of {} (where that is a mounted folder, name one below it)",
                path.display(),
                place.display()
            )
        })?;
        if let Some(above) = place.parent() {
            files::sync_folder(above)?;
        }
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // In its place it is not here any more.
        let _ = std::fs::remove_dir_all(self.0.path());
    }
}
