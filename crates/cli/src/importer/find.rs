//! Which files an import is of.

use std::path::{Path, PathBuf};

use tocsin_home::files;

use super::ImportFault;

/// Most files in one import.
const FILES_MAX: usize = 100_000;
/// Deepest folder that is looked into.
const DEPTH_MAX: usize = 32;

/// The name of the folder in which a file lies, `files` where that has none.
pub(super) fn folder_name(path: &Path) -> String {
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
