//! Real files of public sources, in the folder that `TOCSIN_DATA` names; skipped if it is not set. What is found is
//! compared with counts taken here in another way: from the raw JSON and the raw lines.
#![expect(clippy::disallowed_methods, reason = "a test is told by its environment where real files lie")]
#![expect(clippy::unwrap_used, reason = "test helpers fail the test")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use tocsin_exchange::{FileInfo, Found, Profile, import};
use tocsin_record::OrgId;
use tocsin_record::body::Body;
use tocsin_record::codec;
use tocsin_record::header::BODY_MAX;
use tocsin_record::marking::{Marking, Tlp};
use tocsin_record::observable::{TYPES, Type};
use tocsin_record::testing;

fn data() -> Option<PathBuf> {
    std::env::var_os("TOCSIN_DATA").map(PathBuf::from)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Names of processes, which tell their type to nobody.
const BARE_NAMES: &str = "amnesty/2021-07-18_nso_processes.txt";

fn read(path: &Path, bytes: &[u8]) -> Found {
    let file = FileInfo {
        name: path.file_name().unwrap().to_str().unwrap(),
        source: "real",
        org: OrgId([3; 32]),
        profile: &Profile::default(),
    };
    import(bytes, &file).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads a file, twice, and checks what must hold of every file.
fn checked(path: &Path) -> Found {
    let bytes = std::fs::read(path).unwrap();
    let found = read(path, &bytes);
    assert_eq!(found, read(path, &bytes), "{}", path.display());
    let mut subjects: Vec<_> = found.reports.iter().map(|report| report.subject).collect();
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), found.reports.len(), "{}", path.display());
    for report in &found.reports {
        assert!(report.indicators.is_sorted_by(|a, b| a.what < b.what), "{}", path.display());
        let body = Body::Report(report.whole([1; 16], Some(Marking::new(Tlp::Green))));
        let bytes = body.encode();
        assert!(bytes.len() <= BODY_MAX, "{}: {} bytes", path.display(), bytes.len());
        assert!(!report.originals.is_empty() || matches!(found.format, "csv" | "list"));
        // What is stored must be what a reader takes.
        let read = Body::read(&testing::header(&body, &bytes), &bytes);
        assert!(matches!(read, Ok(Body::Report(_))), "{}", path.display());
        assert!(codec::size(&report.indicators) <= 720 << 10);
    }
    found
}

#[test]
fn stix_bundles() {
    let Some(data) = data() else { return };
    let mut total = 0;
    for path in files(&data.join("stix21")) {
        let found = checked(&path);
        let bundle: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let objects = bundle["objects"].as_array().unwrap();
        assert_eq!(found.counts.seen, objects.len() as u64, "{}", path.display());
        let patterns = objects.iter().filter_map(|object| object["pattern"].as_str());
        // Each comparison is a value; a pattern with something else is one rule.
        let expected: usize = patterns
            .map(|pattern| {
                let is_rule = pattern.contains("MATCHES") || pattern.contains("x509-certificate:");
                if is_rule { 1 } else { pattern.matches("= '").count() + pattern.matches("='").count() }
            })
            .sum();
        // Beside them the CVEs of vulnerabilities are context.
        let cves = objects
            .iter()
            .filter(|object| object["type"] == "vulnerability" && object.to_string().contains("\"CVE-"));
        if expected > 0 {
            let values = found.counts.indicators + found.counts.duplicates;
            assert_eq!(values, (expected + cves.count()) as u64, "{}", path.display());
        }
        assert_eq!(found.counts.skipped, 0, "{}", path.display());
        total += expected;
    }
    assert_eq!(total, 3_421);
}

#[test]
fn tweetfeed_is_clear_and_amnesty_unmarked() {
    let Some(data) = data() else { return };
    let week = checked(&data.join("stix21/tweetfeed/week.json"));
    assert!(week.reports.iter().all(|report| report.marking.tlp == Some(Tlp::Clear)));
    let pegasus = checked(&data.join("stix21/amnesty/pegasus.stix2"));
    assert!(pegasus.reports.iter().all(|report| report.marking.tlp.is_none()));
    let of = |name: &str| {
        let id = Type::by_name(name).unwrap().id;
        let all = pegasus.reports.iter().flat_map(|report| &report.indicators);
        all.filter(|indicator| indicator.what.kind == id).count()
    };
    assert_eq!((of("domain"), of("process"), of("email"), of("filename")), (1_438, 81, 29, 1));
}

/// Attributes of an event, with those of its objects.
fn attributes<'v>(value: &'v Value, out: &mut Vec<&'v Value>) {
    match value {
        Value::Object(map) => {
            for (field, inside) in map {
                match field.as_str() {
                    "Attribute" => out.extend(inside.as_array().into_iter().flatten()),
                    "RelatedEvent" | "Galaxy" => {}
                    _ => attributes(inside, out),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|inside| attributes(inside, out)),
        _ => {}
    }
}

#[test]
fn misp_events() {
    let Some(data) = data() else { return };
    let paths = files(&data.join("misp-events")).into_iter().chain(files(&data.join("misp-feed")));
    let (mut events, mut total) = (0, 0);
    for path in paths.filter(|path| !path.ends_with("manifest.json") && !path.ends_with("hashes.csv")) {
        let found = checked(&path);
        let event: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let mut all = Vec::new();
        attributes(&event, &mut all);
        assert_eq!(found.counts.seen, all.len() as u64, "{}", path.display());
        // How many parts of each attribute the observable table knows.
        let known = |part: &&str| TYPES.iter().any(|row| row.misp.contains(part));
        let parts = all.iter().map(|attribute| attribute["type"].as_str().unwrap());
        let (mut values, mut context) = (0, 0);
        for name in parts {
            match name.split('|').filter(known).count() {
                0 => context += 1,
                count => values += count,
            }
        }
        assert_eq!(found.context.values().sum::<u64>(), context, "{}", path.display());
        // Each attribute of these files that is no value is of a type with one part.
        let told = found.counts.indicators + found.counts.duplicates + found.counts.skipped;
        assert_eq!(told, values as u64, "{}", path.display());
        events += 1;
        total += all.len();
    }
    assert_eq!((events, total), (65, 7_947));
}

#[test]
fn lists_and_tables() {
    let Some(data) = data() else { return };
    let mut tables = 0;
    for path in files(&data.join("csv-lists")) {
        if path.ends_with(BARE_NAMES) {
            continue;
        }
        let found = checked(&path);
        tables += u64::from(found.format == "csv");
        let text = std::fs::read_to_string(&path).unwrap();
        if found.format == "list" {
            let lines = text
                .lines()
                .map(|line| line.trim())
                .filter(|line| !line.is_empty() && !line.starts_with('#'));
            assert_eq!(found.counts.seen, lines.count() as u64, "{}", path.display());
            let told = found.counts.indicators + found.counts.duplicates + found.counts.skipped;
            assert_eq!(told, found.counts.seen, "{}", path.display());
        }
    }
    assert_eq!(tables, 20);
}

/// Values of a table, values twice in it, and rows or cells left out. A row is checked against its file without this
/// project: the values are the lines of `sort -u` over the column of indicators, those twice are the lines that it
/// dropped, and what is left out is listed with its line by `tocsin import --dry-run`.
#[test]
fn every_table_gives_what_is_in_it() {
    let Some(data) = data() else { return };
    for (name, values, twice, skipped) in [
        ("amnesty/2018-08-01_nso_indicators.csv", 1_191, 17, 0),
        ("amnesty/2021-07-18_nso_emails.txt", 29, 0, 0),
        ("amnesty/2021-07-18_nso_v4_domains.txt", 688, 0, 0),
        ("amnesty/2021-10-07_donot_sha256.txt", 228, 0, 0),
        ("datadog/1Phish_iocs.csv", 13, 0, 0),
        ("datadog/react-CVE-2025-55182_iocs.csv", 210, 0, 0),
        ("datadog/shai-hulud-2.0_shai-hulud-2.0.csv", 537, 0, 0),
        ("ipsum/level3.txt", 14_217, 0, 0),
        ("tweetfeed/today.csv", 59, 0, 0),
        ("tweetfeed/week.csv", 1_535, 39, 0),
        // Seven paths of debug symbols are no observable type, and one hash is cut.
        ("withsecure/DUCKTAIL_iocs.csv", 1_867, 8, 8),
        // 37 command lines are no observable type.
        ("withsecure/FIN7VEEAM_iocs.csv", 12, 0, 37),
        ("withsecure/MeetTheDucks_iocs.csv", 2_095, 0, 0),
        ("withsecure/SILKLOADER_iocs.csv", 67, 0, 0),
        ("withsecure/WEBJACK_WEBJACK_IOC.csv", 32, 0, 0),
        // 20 names of certificates' owners.
        ("withsecure/WeevilProxy_weevilproxy_iocs.csv", 284, 0, 20),
    ] {
        let counts = checked(&data.join("csv-lists").join(name)).counts;
        assert_eq!(
            (counts.indicators, counts.duplicates, counts.skipped),
            (values, twice, skipped),
            "{name}"
        );
    }
}

#[test]
fn a_profile_names_the_type_of_bare_names() {
    let Some(data) = data() else { return };
    let bytes = std::fs::read(data.join("csv-lists").join(BARE_NAMES)).unwrap();
    let (plain, stated) = (Profile::default(), Profile::parse("type = 'process'").unwrap());
    let of = |profile| FileInfo { name: "processes.txt", source: "real", org: OrgId([3; 32]), profile };
    // Without it, one of them looks like a domain and all others like nothing.
    let refused = import(&bytes, &of(&plain)).unwrap_err().to_string();
    assert!(refused.contains("80 of 81 lines") && refused.contains("type = 'process'"), "{refused}");
    let counts = import(&bytes, &of(&stated)).unwrap().counts;
    assert_eq!((counts.indicators, counts.skipped), (81, 0));
}
