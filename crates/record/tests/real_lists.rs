//! Detection on real lists and MISP events: nearly all of what feeds publish must be recognised, and what is
//! recognised must be canonical. Reads the folder in TOCSIN_DATA; skipped only if that is not set.
#![expect(clippy::disallowed_methods, reason = "a test is told by its environment where real files lie")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tocsin_record::observable::{self, Breadth, ParseError};

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("TOCSIN_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: TOCSIN_DATA is not set");
    }
    folder
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn plain_lists_are_recognised() {
    let Some(data) = data() else { return };
    let (mut lines, mut detected, mut broad) = (0, 0, 0);
    let mut types = BTreeMap::new();
    let mut missed = Vec::new();
    let lists = files(&data.join("csv-lists"));
    let plain = lists.iter().filter(|path| path.extension().is_some_and(|ending| ending == "txt"));
    // Names of processes are no values that can be told by themselves.
    for path in plain.filter(|path| !path.to_string_lossy().contains("processes")) {
        let text = fs::read(path).unwrap();
        for line in String::from_utf8_lossy(&text).lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            // Maltrail lists paths of unknown hosts too; those are no observables.
            if line.is_empty() || line.starts_with('/') {
                continue;
            }
            lines += 1;
            match observable::detect(line) {
                Ok(found) => {
                    assert!(found.observable.is_canonical(), "{line}");
                    broad += usize::from(found.observable.breadth() != Breadth::Fine);
                    detected += 1;
                    *types.entry(found.observable.type_name()).or_insert(0) += 1;
                }
                Err(_) => missed.push(line.to_owned()),
            }
        }
    }
    println!("{detected} of {lines} lines detected, {broad} too broad: {types:?}");
    println!("missed: {:?}", missed.iter().take(40).collect::<Vec<_>>());
    assert!(lines > 10_000, "only {lines} lines in {}", data.display());
    assert!(detected * 1000 >= lines * 995, "{detected} of {lines}");
}

#[test]
fn misp_attributes_are_observables() {
    let Some(data) = data() else { return };
    let mut found: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut refused = Vec::new();
    let events = files(&data.join("misp-events")).into_iter().chain(files(&data.join("misp-feed")));
    for path in events.filter(|path| path.extension().is_some_and(|ending| ending == "json")) {
        let Ok(event) = serde_json::from_slice(&fs::read(&path).unwrap()) else {
            continue;
        };
        attributes(&event, &mut |kind, value| match observable::from_misp(kind, value) {
            Ok(all) => {
                assert!(all.values.iter().all(observable::Observable::is_canonical), "{kind} {value}");
                found.entry(kind.to_owned()).or_default().0 += 1;
            }
            Err(ParseError::UnknownMisp(_)) => {}
            Err(error) => {
                found.entry(kind.to_owned()).or_default().1 += 1;
                refused.push(format!("{kind}: {error}"));
            }
        });
    }
    println!("MISP types (taken, refused): {found:?}");
    println!("refused: {refused:#?}");
    let taken: usize = found.values().map(|(taken, _)| taken).sum();
    assert!(taken > 7_000, "only {taken} attributes in {}", data.display());
    assert!(refused.len() * 200 <= taken, "{} of {taken} refused", refused.len());
}

/// Every attribute in an event, wherever it stands.
fn attributes(event: &serde_json::Value, visit: &mut impl FnMut(&str, &str)) {
    match event {
        serde_json::Value::Object(fields) => {
            let text = |name| fields.get(name).and_then(serde_json::Value::as_str);
            if let (Some(kind), Some(value), Some(_)) = (text("type"), text("value"), text("category")) {
                visit(kind, value);
            }
            fields.values().for_each(|inner| attributes(inner, visit));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|inner| attributes(inner, visit)),
        _ => {}
    }
}
