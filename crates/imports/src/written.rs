//! What a source says, as the text of a file.

use crate::labels::DEFINITIONS;
use crate::story::Said;

const SECOND: u64 = 1_000_000_000;

/// A UUID that no other story has.
fn uuid(space: u64, kind: u64, number: usize) -> String {
    format!("{:08x}-{:04x}-4000-8000-{number:012x}", space & 0xffff_ffff, kind & 0xffff)
}

/// A time on one day, with as many digits as it needs.
fn time(nanos: u64) -> String {
    let seconds = nanos / SECOND;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = format!("{:09}", nanos % SECOND);
    let fraction = if fraction.ends_with("000000") { &fraction[..3] } else { &fraction };
    format!("2026-02-01T{hour:02}:{minute:02}:{second:02}.{fraction}Z")
}

/// A STIX bundle of indicators, and of a report that has them all: its version and its fields.
pub fn bundle(space: u64, says: &[Said], report: Option<(u64, &str)>) -> String {
    let mut objects: Vec<String> = DEFINITIONS.iter().map(|text| (*text).to_owned()).collect();
    let id = |said: &Said| format!("indicator--{}", uuid(space, 1, said.object));
    objects.extend(says.iter().map(|said| {
        format!(
            r#"{{"type":"indicator","spec_version":"2.1","id":"{}","created":"2026-01-01T00:00:00Z","modified":"{}","valid_from":"2026-01-01T00:00:00Z","pattern_type":"stix","pattern":"[domain-name:value = '{}']"{}{}}}"#,
            id(said),
            time(said.at),
            said.value,
            if said.gone { r#","revoked":true"# } else { "" },
            said.label
        )
    }));
    if let Some((at, label)) = report {
        let refs: Vec<String> = says.iter().map(|said| format!("\"{}\"", id(said))).collect();
        objects.push(format!(
            r#"{{"type":"report","spec_version":"2.1","id":"report--{}","created":"2026-01-01T00:00:00Z","modified":"{}","published":"2026-01-01T00:00:00Z","name":"case {space}","object_refs":[{}]{label}}}"#,
            uuid(space, 2, 0),
            time(at),
            refs.join(",")
        ));
    }
    format!(r#"{{"type":"bundle","id":"bundle--{}","objects":[{}]}}"#, uuid(space, 3, 0), objects.join(",\n"))
}

/// A MISP event, of a version and with fields.
pub fn event(space: u64, says: &[Said], at: u64, label: &str) -> String {
    /// 2026-02-01.
    const DAY: u64 = 1_769_904_000;
    let attributes: Vec<String> = says
        .iter()
        .map(|said| {
            format!(
                r#"{{"uuid":"{}","type":"domain","value":"{}","to_ids":true,"timestamp":"{}","deleted":{}{}}}"#,
                uuid(space, 1, said.object),
                said.value,
                DAY + said.at / SECOND,
                said.gone,
                said.label
            )
        })
        .collect();
    format!(
        r#"{{"Event":{{"uuid":"{}","info":"case {space}","date":"2026-02-01","timestamp":"{}","published":true{label},"Attribute":[{}]}}}}"#,
        uuid(space, 2, 0),
        DAY + at / SECOND,
        attributes.join(",\n")
    )
}

/// A table with a column of markings.
pub fn table(says: &[Said], head: &str) -> String {
    let lines = says.iter().map(|said| format!("{},{}\n", said.value, said.label));
    format!("{head}domain,tlp\n{}", lines.collect::<String>())
}

/// Lines with comments.
pub fn lines(says: &[Said], head: &str) -> String {
    let line = |said: &Said| {
        let comment = if said.label.is_empty() { String::new() } else { format!(" # {}", said.label) };
        format!("{}{comment}\n", said.value)
    };
    format!("{head}{}", says.iter().map(line).collect::<String>())
}
