//! Files to the node: found, read and parsed here, in the user's process; the node gets reports only, in batches.
//!
//! What comes from outside is so parsed with the user's rights and apart from keys and store; the node checks the
//! reports like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tocsin_exchange::marking::{Terms, resolve_marking};
use tocsin_exchange::profile::ProfileError;
use tocsin_exchange::{FILE_MAX, Input, Profile, import};
use tocsin_record::body::report::Report;
use tocsin_record::codec;
use tocsin_record::id::OrgId;

use crate::api::client::{Client, ClientError};
use crate::api::types::{Imported, Skipped};
use crate::clock;
use crate::home::files::{self, FileError};
use crate::home::{Home, HomeError};
use crate::node::ImportBatch;

/// A batch is sent when it has so many reports, or so many bytes.
const BATCH_REPORTS: usize = 256;
const BATCH_BYTES: usize = 8 << 20;
/// Most files in one import.
const FILES_MAX: usize = 100_000;
/// Deepest folder that is looked into.
const DEPTH_MAX: usize = 32;

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
pub struct Silent;

impl Progress for Silent {
    fn file(&self, _: &str) {}
    fn done(&self) {}
}

/// What came of an import.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Over all files.
    pub total: Imported,
    /// File by file.
    pub files: Vec<FileSummary>,
}

/// What was found in one file.
#[derive(Debug, Default, Serialize)]
pub struct FileSummary {
    /// Which.
    pub file: String,
    /// As what it was read.
    pub format: String,
    /// Objects, rows or lines in it.
    pub seen: u64,
    /// Reports made of it.
    pub reports: u64,
    /// Indicators in them.
    pub indicators: u64,
    /// Values that stood more than once.
    pub duplicates: u64,
    /// What was left out.
    pub skipped: u64,
    /// Why, for the first of them.
    pub reasons: Vec<Skipped>,
    /// Why nothing of it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Imports into one node.
pub struct Importer {
    client: Client,
    org: OrgId,
    sources: PathBuf,
    source: Option<String>,
    terms: Terms,
    profiles: BTreeMap<String, Profile>,
    /// The circle in which what is marked is shared.
    pub share: Option<String>,
    /// Only say what would be done.
    pub dry_run: bool,
    batch: Vec<Report>,
    batch_bytes: usize,
    subjects: BTreeSet<[u8; 16]>,
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
            terms,
            profiles: BTreeMap::new(),
            share: None,
            dry_run: false,
            batch: Vec::new(),
            batch_bytes: 0,
            subjects: BTreeSet::new(),
        };
        if let Some(source) = source {
            importer.profile(source)?;
        }
        Ok(importer)
    }

    fn profile(&mut self, source: &str) -> Result<Profile, ImportFault> {
        if let Some(profile) = self.profiles.get(source) {
            return Ok(profile.clone());
        }
        // A source's name is a file's name here, and nothing that leads out of the folder.
        let plain = !source.is_empty() && !source.contains(['/', '\0']) && !source.starts_with('.');
        let path = self.sources.join(format!("{source}.toml"));
        let profile = if plain && path.exists() {
            Profile::parse(&files::read_text(&path, 1 << 20)?)
                .map_err(|source| ImportFault::Profile { file: path.display().to_string(), source })?
        } else {
            Profile::default()
        };
        self.profiles.insert(source.to_owned(), profile.clone());
        Ok(profile)
    }

    /// Imports files one after the other. What cannot be read is told in the summary and does not stop the rest.
    ///
    /// # Errors
    /// When a profile is wrong, or the node does not answer.
    pub fn run(mut self, paths: &[PathBuf], progress: &dyn Progress) -> Result<Summary, ImportFault> {
        let mut summary = Summary::default();
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
        let mut file = FileSummary { file: path.display().to_string(), ..FileSummary::default() };
        let bytes = match files::read(path, FILE_MAX as u64) {
            Ok(bytes) => bytes,
            Err(error) => {
                file.error = Some(error.to_string());
                return Ok(file);
            }
        };
        let source = self.source.clone().unwrap_or_else(|| folder_name(path));
        let profile = self.profile(&source)?;
        let source = profile.name.clone().unwrap_or(source);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let input = Input { bytes: &bytes, name: &name, source: &source, org: self.org, profile: &profile };
        let found = match import(&input) {
            Ok(found) => found,
            Err(error) => {
                file.error = Some(error.to_string());
                return Ok(file);
            }
        };
        file.format = found.format.to_owned();
        file.seen = found.counts.seen;
        file.indicators = found.counts.indicators;
        file.duplicates = found.counts.duplicates;
        file.skipped = found.counts.skipped;
        file.reasons = found
            .skipped
            .iter()
            .map(|skipped| Skipped {
                what: match (skipped.line, skipped.path.as_str()) {
                    (Some(line), "") => format!("line {line}"),
                    (Some(line), path) => format!("line {line}, {path}"),
                    (None, path) => path.to_owned(),
                },
                why: skipped.why.clone(),
            })
            .collect();
        file.reports = found.reports.len() as u64;
        let now = clock::now_ms();
        for imported in &found.reports {
            let marking = resolve_marking(
                &imported.marking,
                &found.marking,
                &profile,
                &self.terms,
                &imported.indicators,
                now,
            );
            self.add(imported.whole([0; 16], marking), total)?;
        }
        Ok(file)
    }

    fn add(&mut self, report: Report, total: &mut Imported) -> Result<(), ImportFault> {
        if self.subjects.contains(&report.subject.0) {
            // The second becomes the next version of the first.
            self.flush(total)?;
        }
        self.subjects.insert(report.subject.0);
        self.batch_bytes += codec::size(&report);
        self.batch.push(report);
        if self.batch.len() >= BATCH_REPORTS || self.batch_bytes >= BATCH_BYTES {
            self.flush(total)?;
        }
        Ok(())
    }

    fn flush(&mut self, total: &mut Imported) -> Result<(), ImportFault> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = ImportBatch {
            share: self.share.clone(),
            dry_run: self.dry_run,
            reports: std::mem::take(&mut self.batch),
        };
        self.batch_bytes = 0;
        self.subjects.clear();
        let done: Imported = self.client.post_bytes("/v1/import", &codec::encode(&batch))?;
        total.new += done.new;
        total.changed += done.changed;
        total.duplicates += done.duplicates;
        total.unmarked += done.unmarked;
        total.indicators += done.indicators;
        total.shared += done.shared;
        total.skipped.extend(done.skipped);
        total.records.extend(done.records);
        Ok(())
    }
}

fn folder_name(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().and_then(Path::file_name).unwrap_or_default();
    if folder.is_empty() { "files".to_owned() } else { folder.to_string_lossy().into_owned() }
}

/// The files that paths name: folders are walked in order of name, hidden files and links to elsewhere left out.
///
/// # Errors
/// When one is missing, or there are too many.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ImportFault> {
    let mut found = Vec::new();
    for path in paths {
        let kind = std::fs::metadata(path).map_err(files::io("read", path))?;
        if kind.is_dir() {
            walk(path, 0, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), ImportFault> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<_, _>>)
        .map_err(files::io("read", folder))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let kind = entry.file_type().map_err(files::io("read", folder))?;
        if kind.is_dir() && depth < DEPTH_MAX {
            walk(&entry.path(), depth + 1, found)?;
        } else if kind.is_file() {
            found.push(entry.path());
        }
        if found.len() > FILES_MAX {
            return Err(ImportFault::TooMany(FILES_MAX));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_walked_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.json", ".hidden", "sub/c.txt"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let names: Vec<String> = files(&[folder.path().to_owned()])
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["a.json", "b.csv", "c.txt"]);
        assert!(files(&[folder.path().join("missing")]).is_err());
        assert_eq!(folder_name(Path::new("/x/feed/list.txt")), "feed");
        assert_eq!(folder_name(Path::new("/list.txt")), "files");
    }
}
