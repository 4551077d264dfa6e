//! Files to the node: found (`find`), read and parsed here, in the user's process; the node gets reports only, in batches.
//!
//! What comes from outside is so parsed with the user's rights and apart from keys and store; the node checks the
//! reports like any other. What came of each file is told (`summary`).

mod find;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tocsin_api::client::{Client, ClientError};
use tocsin_api::route;
use tocsin_api::types::{EndedList, Floor, ImportBatch, Imported};
use tocsin_clock as clock;
use tocsin_exchange::marking::{Terms, resolve_marking};
use tocsin_exchange::profile::ProfileError;
use tocsin_exchange::versions::own_id;
use tocsin_exchange::{FileInfo, PartialMarking, Profile, personal, read};
use tocsin_home::files::{self, FileError, Reading};
use tocsin_home::{Home, HomeError};
use tocsin_record::body::report::{Indicator, Report, Subject};
use tocsin_record::codec;
use tocsin_record::id::OrgId;
use tocsin_record::marking::{Pap, Personal, Tlp};
use tocsin_text as text;

pub use find::files;
use find::folder_name;
pub(crate) use summary::add_recipients;
pub use summary::{FileSummary, Reason, Summary, Went};
use summary::{add_advice, reason};

/// A batch is sent when it has so many reports, or so many bytes.
const BATCH_REPORTS: usize = 256;
const BATCH_BYTES: usize = 8 << 20;
/// The parts of one report still go with the first of them up to so many, or so many bytes.
const PARTS: usize = 1_000;
const PARTS_BYTES: usize = 32 << 20;
/// Or so many ids of what was taken back.
const BATCH_GONE: usize = 1_024;
/// The name in a summary of what comes without a marking.
pub const UNMARKED: &str = "no marking";
/// Longest reason in a summary, in characters: what is read is never quoted whole.
const WHY_MAX: usize = 400;

/// An import could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ImportFault {
    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A file or folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// The source's profile.
    #[error("the profile {file}: {source}")]
    Profile {
        /// Which file.
        file: String,
        /// What is wrong.
        source: ProfileError,
    },
    /// A name of a source that is none.
    #[error("`{0}` is no name of a source: it is a name, such as feed-x, and not a path")]
    Source(String),
    /// A bound.
    #[error("there are more than {0} files in what was named: import folder by folder")]
    TooMany(usize),
    /// The node.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Told how far an import is.
pub trait Progress {
    /// A file is read.
    fn file(&self, name: &str);
    /// It is done.
    fn done(&self);
}

/// Tells nobody.
pub struct NoProgress;

impl Progress for NoProgress {
    fn file(&self, _: &str) {}
    fn done(&self) {}
}

/// What becomes of values and parts that are about persons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persons {
    /// They are imported, and bind what they stand in.
    Import,
    /// They are left out and named.
    LeaveOut,
}

/// Imports into one node.
pub struct Importer {
    client: Client,
    org: OrgId,
    sources: PathBuf,
    source: Option<String>,
    /// Title of lists, which have none of their own; the file's name if not said.
    pub title: Option<String>,
    terms: Terms,
    profiles: BTreeMap<String, Option<Profile>>,
    /// The circles in which what is marked is shared.
    pub share: Vec<String>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// And who would get what is shared.
    pub recipients: bool,
    /// What handling labels mean, above what profiles say of them.
    pub overrides: BTreeMap<String, Tlp>,
    /// Whether what is about persons is imported.
    pub persons: Persons,
    /// Whether what of lists was taken back by hand stands again.
    pub again: bool,
    batch: Vec<Report>,
    floors: Vec<Floor>,
    doubtful: BTreeSet<Subject>,
    gone: BTreeMap<([u8; 16], Option<[u8; 16]>), String>,
    ended: Vec<EndedList>,
    batch_bytes: usize,
    subjects: BTreeSet<[u8; 16]>,
    /// The ids of indicators in the batch: of this file, and of those before it.
    ids: BTreeSet<[u8; 16]>,
    ids_before: BTreeSet<[u8; 16]>,
}

impl Importer {
    /// For the node of a home. `source` names the source of all files, else each file's folder does.
    ///
    /// # Errors
    /// When the home or the source's profile cannot be read.
    pub fn new(home: &Home, client: Client, source: Option<&str>, terms: Terms) -> Result<Self, ImportFault> {
        let mut importer = Self {
            client,
            org: home.card()?.entry.root,
            sources: home.sources_folder(),
            source: source.map(str::to_owned),
            title: None,
            terms,
            profiles: BTreeMap::new(),
            share: Vec::new(),
            dry_run: false,
            recipients: false,
            overrides: BTreeMap::new(),
            persons: Persons::Import,
            again: false,
            batch: Vec::new(),
            floors: Vec::new(),
            doubtful: BTreeSet::new(),
            gone: BTreeMap::new(),
            ended: Vec::new(),
            batch_bytes: 0,
            subjects: BTreeSet::new(),
            ids: BTreeSet::new(),
            ids_before: BTreeSet::new(),
        };
        if let Some(source) = source {
            if !is_name(source) {
                return Err(ImportFault::Source(text::cut(source, 80)));
            }
            importer.profile(source)?;
        }
        Ok(importer)
    }

    /// The profile of a source, if it has one.
    fn profile(&mut self, source: &str) -> Result<Option<Profile>, ImportFault> {
        if let Some(profile) = self.profiles.get(source) {
            return Ok(profile.clone());
        }
        let path = self.sources.join(format!("{source}.toml"));
        let profile = if is_name(source) && path.exists() {
            let profile = Profile::parse(&files::read_own_text(&path, 1 << 20)?)
                .map_err(|source| ImportFault::Profile { file: path.display().to_string(), source })?;
            Some(profile)
        } else {
            None
        };
        self.profiles.insert(source.to_owned(), profile.clone());
        Ok(profile)
    }

    /// Imports files one after the other. What cannot be read is told in the summary and does not stop the rest.
    ///
    /// # Errors
    /// When a profile is wrong, or the node does not answer.
    pub fn run(mut self, paths: &[PathBuf], progress: &dyn Progress) -> Result<Summary, ImportFault> {
        let mut summary = Summary { share_wanted: !self.share.is_empty(), ..Summary::default() };
        summary.no_profile =
            self.source.clone().filter(|source| !matches!(self.profiles.get(source), Some(Some(_))));
        for path in paths {
            progress.file(&path.display().to_string());
            let file = self.file(path, &mut summary.total)?;
            summary.files.push(file);
            progress.done();
        }
        self.flush(&mut summary.total)?;
        Ok(summary)
    }

    fn file(&mut self, path: &Path, total: &mut Imported) -> Result<FileSummary, ImportFault> {
        self.ids_before.append(&mut self.ids);
        let mut file = FileSummary { file: path.display().to_string(), ..FileSummary::default() };
        // A pipe could be read once only, and has no name by which the same list is known the next time.
        let mut content = match Reading::of_named(path) {
            Ok(content) => content,
            Err(error) => {
                file.error = Some(text::cut(&error.to_string(), WHY_MAX));
                return Ok(file);
            }
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let source = self.source.clone().unwrap_or_else(|| folder_name(path));
        let found = self.profile(&source)?;
        // A folder of this machine identifies a list, and is nobody's business: only a name that was given, by flag or
        // by writing a profile, goes out.
        let named = self.source.is_some() || found.is_some();
        let mut profile = found.unwrap_or_default();
        let source = profile.name.clone().unwrap_or(source);
        profile.name = Some(if named { source.clone() } else { name.clone().into_owned() });
        profile.title = self.title.clone().or(profile.title);
        profile.overrides.extend(self.overrides.clone());
        let info = FileInfo { name: &name, source: &source, org: self.org, profile: &profile };
        let now = clock::now_ms();
        let mut sent = Ok(());
        // The lists of this file without ids of their own, and their groups and buckets.
        let mut lists: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        let mut names: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        // Reports leave in batches while the file is read: it may be larger than the memory of this machine likes.
        let found = read(&mut content.file, &info, &mut |mut imported, of_file| {
            self.look(&mut imported, &mut file);
            if let Some(place) = tocsin_exchange::list_place(&imported.origin.id, &name) {
                let of = names.entry(place.list.clone()).or_default();
                of.entry(place.group.clone()).or_insert_with(|| imported.origin.name.clone());
                let groups = lists.entry(place.list).or_default();
                groups.entry(place.group).or_default().insert(place.bucket);
            }
            sent = self.take(&imported, of_file, &profile, now, total, &mut file);
            if sent.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        sent?;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                file.error = Some(text::cut(&error.to_string(), WHY_MAX));
                return Ok(file);
            }
        };
        if !content.is_unchanged(path).is_ok_and(|same| same) {
            // What was read of it is there by now, and comes again with what it became.
            file.error =
                Some(format!("{}: then import it again", FileError::Changing { path: path.to_owned() }));
        }
        // An empty answer in place of a list does not empty it, nor does one that is hardly a list.
        if found.counts.indicators > 0 && !found.counts.is_doubtful() && file.error.is_none() {
            let ended = lists.into_iter();
            self.ended.extend(ended.map(|(list, groups)| {
                let names = names.remove(&list).unwrap_or_default();
                EndedList { source: source.clone(), list, groups, names }
            }));
        }
        for gone in found.gone {
            self.gone.insert((gone.id, gone.within), gone.name);
            if self.gone.len() >= BATCH_GONE {
                self.flush(total)?;
            }
        }
        file.context = found.context;
        file.format = found.format.to_owned();
        file.seen = found.counts.seen;
        file.indicators = found.counts.indicators;
        file.duplicates = found.counts.duplicates;
        file.skipped = found.counts.skipped;
        file.reasons = found.skipped.iter().map(reason).collect();
        file.noted = found.counts.noted;
        file.notes = found.noted.iter().map(reason).collect();
        file.reports = found.counts.reports;
        Ok(file)
    }

    /// Counts what a report holds, and leaves out what is about persons, if that was asked for.
    fn look(&self, imported: &mut tocsin_exchange::Imported, file: &mut FileSummary) {
        let is_person = |one: &Indicator| one.what.row().is_some_and(|row| row.personal == Personal::Yes);
        if self.persons == Persons::LeaveOut {
            for indicator in imported.indicators.iter().filter(|one| is_person(one)) {
                *file.without.entry(indicator.what.type_name().to_owned()).or_default() += 1;
            }
            imported.indicators.retain(|one| !is_person(one));
            let (originals, left_out) = personal::without(&imported.originals);
            imported.originals = originals;
            for (name, count) in left_out.parts {
                *file.without.entry(name).or_default() += count;
            }
        } else {
            for (name, count) in personal::inside(&imported.originals).parts {
                *file.personal.entry(name).or_default() += count;
            }
            // A list is kept as its values alone.
            let values =
                imported.indicators.iter().filter(|one| imported.originals.is_empty() && is_person(one));
            for indicator in values {
                *file.personal.entry(indicator.what.type_name().to_owned()).or_default() += 1;
            }
        }
        for indicator in &imported.indicators {
            let name = if indicator.is_pattern() { "rule" } else { indicator.what.type_name() };
            *file.types.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// Adds what was read to the batch, with the marking that it gets here.
    fn take(
        &mut self,
        imported: &tocsin_exchange::Imported,
        of_file: &PartialMarking,
        profile: &Profile,
        now: u64,
        total: &mut Imported,
        file: &mut FileSummary,
    ) -> Result<(), ImportFault> {
        let personal = personal::of(&imported.indicators, &imported.originals);
        let marking = resolve_marking(&imported.marking, of_file, profile, &self.terms, personal, now);
        let label = marking.as_ref().map_or(UNMARKED, |marking| marking.tlp.label());
        *file.markings.entry(label.to_owned()).or_default() += imported.indicators.len() as u64;
        let floor = Floor {
            tlp: imported.marking.floor.max(of_file.floor).map_or(0, Tlp::code),
            pap: imported.marking.pap.max(of_file.pap).map_or(0, Pap::code),
            personal: profile.personal.code(),
        };
        self.add(imported.whole([0; 16], marking), floor, imported.doubtful, total)
    }

    fn add(
        &mut self,
        report: Report,
        floor: Floor,
        doubtful: bool,
        total: &mut Imported,
    ) -> Result<(), ImportFault> {
        let ids = || report.indicators.iter().filter_map(|indicator| indicator.id);
        let is_full = self.batch.len() >= BATCH_REPORTS || self.batch_bytes >= BATCH_BYTES;
        // The parts of one report go together, as long as a batch has room: what it no longer has is seen by them.
        let is_part = self.batch.last().is_some_and(|last| is_one(last, &report));
        if is_full && !(is_part && self.batch_bytes < PARTS_BYTES && self.batch.len() < PARTS) {
            self.flush(total)?;
        }
        if self.subjects.contains(&report.subject.0) || ids().any(|id| self.ids_before.contains(&id)) {
            // The second becomes the next version of the first, and an object of two files meets what stands of it.
            self.flush(total)?;
        }
        self.ids.extend(ids());
        self.subjects.insert(report.subject.0);
        self.batch_bytes += codec::size(&report);
        self.doubtful.extend(doubtful.then_some(report.subject));
        self.batch.push(report);
        self.floors.push(floor);
        Ok(())
    }

    fn flush(&mut self, total: &mut Imported) -> Result<(), ImportFault> {
        if self.batch.is_empty() && self.ended.is_empty() && self.gone.is_empty() {
            return Ok(());
        }
        let batch = ImportBatch {
            share: self.share.clone(),
            dry_run: self.dry_run,
            recipients: self.recipients,
            reports: std::mem::take(&mut self.batch),
            floors: std::mem::take(&mut self.floors),
            doubtful: std::mem::take(&mut self.doubtful),
            gone: std::mem::take(&mut self.gone),
            ended: std::mem::take(&mut self.ended),
            again: self.again,
        };
        self.batch_bytes = 0;
        self.subjects.clear();
        self.ids.clear();
        self.ids_before.clear();
        let done: Imported = self.client.post_bytes(route::IMPORT, &codec::encode(&batch))?;
        total.new += done.new;
        total.changed += done.changed;
        total.duplicates += done.duplicates;
        total.unmarked += done.unmarked;
        total.indicators += done.indicators;
        total.shared += done.shared;
        add_recipients(&mut total.recipients, done.recipients);
        add_advice(&mut total.unmatched, done.unmatched);
        add_advice(&mut total.well_known, done.well_known);
        total.taken_back.extend(done.taken_back);
        total.older.extend(done.older);
        total.twice.extend(done.twice);
        total.gone.extend(done.gone);
        total.skipped.extend(done.skipped);
        total.records.extend(done.records);
        Ok(())
    }
}

/// Whether two reports are parts of one report of their source.
fn is_one(one: &Report, other: &Report) -> bool {
    let of = |report: &Report| report.origin.source.as_ref().and_then(|source| own_id(&source.id));
    of(one).is_some() && of(one) == of(other)
}

/// A source's name is a file's name in the home, and nothing that leads out of the folder.
fn is_name(source: &str) -> bool {
    let is_plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\');
    (1..=128).contains(&source.len()) && source.chars().all(is_plain) && !source.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sources_lead_nowhere() {
        for name in ["feed-x", "Feed X", "feed.v2"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "../x", "a/b", ".hidden", "a\\b", "a\nb"] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
