//! The small files of a home that a backup has: all but the store, which has its own way, the org's root key, which is kept
//! elsewhere, and what belongs to a running node.

use std::path::Path;

use zeroize::Zeroizing;

use super::files::{self, FileError};
use super::{Home, HomeError};

/// Folders of which all files are kept.
const FOLDERS: [&str; 3] = ["documents", "keys", "sources"];
/// Longest such file, in bytes.
const KEPT_MAX: u64 = 64 << 20;
/// Longest name that file systems take, in bytes.
const NAME_MAX: usize = 255;

/// A name that is none of a file that is kept.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is no file of a home that a backup has", tocsin_text::cut(.0, 80))]
pub struct NotKept(String);

/// Whether a name, below the home, is that of a file that is kept. It leads nowhere else, whoever wrote it.
fn is_kept(name: &str) -> bool {
    let plain = |file: &str| {
        (1..=NAME_MAX).contains(&file.len())
            && !file.starts_with('.')
            && !file.ends_with(".new")
            && !file.contains(['/', '\\'])
            && !file.chars().any(char::is_control)
    };
    match name.split_once('/') {
        Some((folder, file)) => FOLDERS.contains(&folder) && plain(file),
        None => plain(name) && (name == "config.toml" || name == "policy.cedar" || name.ends_with(".card")),
    }
}

impl Home {
    /// The names of the files that are kept, below the home, in order.
    ///
    /// # Errors
    /// The system's.
    pub fn kept(&self) -> Result<Vec<String>, HomeError> {
        let mut names = Vec::new();
        for folder in [""].iter().chain(&FOLDERS) {
            let path = self.path().join(folder);
            let entries = match std::fs::read_dir(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries.map_err(files::io("read", &path))?,
            };
            for entry in entries {
                let entry = entry.map_err(files::io("read", &path))?;
                let Ok(file) = entry.file_name().into_string() else { continue };
                let name = if folder.is_empty() { file } else { format!("{folder}/{file}") };
                // Links are followed, as by whoever reads a file of the home.
                if is_kept(&name) && entry.path().is_file() {
                    names.push(name);
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What is in a file that is kept.
    ///
    /// # Errors
    /// [`HomeError`]; also when others can write it, or read a key.
    pub fn read_kept(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, HomeError> {
        if !is_kept(name) {
            return Err(NotKept(name.to_owned()).into());
        }
        let path = self.path().join(name);
        if name.starts_with("keys/") {
            return Ok(files::read_secret(&path, KEPT_MAX)?);
        }
        Ok(Zeroizing::new(files::read_own(&path, KEPT_MAX)?))
    }

    /// Puts such a file into a home in which it is not.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn put_back(&self, name: &str, bytes: &[u8]) -> Result<(), HomeError> {
        if !is_kept(name) {
            return Err(NotKept(name.to_owned()).into());
        }
        let path = self.path().join(name);
        if let Some(folder) = path.parent() {
            files::make_folder(folder)?;
        }
        if Path::new(name).extension().is_some_and(|end| end == "card") && !name.contains('/') {
            return Ok(files::write_public(&path, bytes)?);
        }
        Ok(files::write_new(&path, bytes)?)
    }

    /// Whether nothing is there yet that a node could lose.
    ///
    /// # Errors
    /// The system's.
    pub fn is_free(&self) -> Result<bool, FileError> {
        match std::fs::read_dir(self.path()) {
            Ok(mut entries) => Ok(entries.next().is_none()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(files::io("read", self.path())(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_a_home() {
        for name in ["config.toml", "policy.cedar", "a.card", "keys/record.key", "sources/My feed.toml"] {
            assert!(is_kept(name), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "../x.card",
            "keys/../config.toml",
            "keys/",
            "keys/a/b",
            "keys/..",
            "store/journal",
            "root/org.root.pem",
            "run.lock",
            "run.at",
            "config.toml.new",
            "keys/record.key.new",
            "documents/.hidden",
            "documents/a\u{0}b",
            "x\n.card",
        ] {
            assert!(!is_kept(name), "{name:?}");
        }
    }

    #[test]
    fn what_is_kept_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (home, other) = (Home::at(&folder.path().join("a")), Home::at(&folder.path().join("b")));
        home.make().unwrap();
        assert!(other.is_free().unwrap() && !home.is_free().unwrap());
        for (name, bytes) in
            [("config.toml", "log = \"info\""), ("keys/record.key", "k"), ("root/org.root.pem", "r")]
        {
            files::write(&home.path().join(name), bytes.as_bytes()).unwrap();
        }
        assert_eq!(home.kept().unwrap(), ["config.toml", "keys/record.key"]);
        files::make_folder(other.path()).unwrap();
        assert!(other.is_free().unwrap());
        for name in home.kept().unwrap() {
            other.put_back(&name, &home.read_kept(&name).unwrap()).unwrap();
            assert!(other.put_back(&name, b"x").is_err(), "{name} was replaced");
        }
        assert_eq!(other.kept().unwrap(), home.kept().unwrap());
        assert_eq!(*other.read_kept("keys/record.key").unwrap(), b"k");
        assert!(home.read_kept("root/org.root.pem").is_err() && other.put_back("../x.card", b"").is_err());
    }
}
