//! Files that were damaged on the way: whatever comes in, nothing panics, and what comes out keeps its bounds.
#![expect(clippy::disallowed_methods, reason = "a test takes its seed from its environment")]

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tocsin_exchange::{FORMATS, FileInfo, Profile, SKIPPED_MAX, import, recognise};
use tocsin_record::OrgId;
use tocsin_record::body::report::{INDICATORS_MAX, LINE_MAX};

/// Files with the name of their format.
const SEEDS: &[(&str, &str)] = &[
    (
        "stix",
        r#"{"type":"bundle","id":"bundle--00000000-0000-4000-8000-000000000001","objects":[
        {"type":"indicator","id":"indicator--00000000-0000-4000-8000-000000000001","pattern_type":"stix","confidence":50,
         "pattern":"[file:hashes.'SHA-256' = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' OR (domain-name:value IN ('a.example','b.example') AND ipv4-addr:value ISSUBSET '192.0.2.0/24')] WITHIN 5 SECONDS",
         "valid_from":"2026-01-01T00:00:00Z","labels":["tlp:green"]},
        {"type":"report","id":"report--00000000-0000-4000-8000-000000000002","name":"x","object_refs":["indicator--00000000-0000-4000-8000-000000000001"]},
        {"type":"observed-data","id":"observed-data--00000000-0000-4000-8000-000000000003","objects":{"0":{"type":"file","name":"a.exe"}}}]}"#,
    ),
    (
        "misp",
        r#"{"response":[{"Event":{"uuid":"59dbf0f6-3203-413a-9fbc-7960b592e4cf","info":"a","date":"2020-09-01","timestamp":"1598975711",
        "distribution":"3","Orgc":{"name":"O"},"Tag":[{"name":"tlp:amber"}],"Attribute":[
        {"type":"filename|sha1","value":"a.exe|da39a3ee5e6b4b0d3255bfef95601890afd80709","to_ids":true,"uuid":"00000000-0000-4000-8000-000000000001"},
        {"type":"ip-dst|port","value":"192.0.2.7|443","to_ids":"1"}],"Object":[{"name":"x","Attribute":[{"type":"url","value":"hxxp://a[.]example"}]}]}}]}"#,
    ),
    (
        "csv",
        "Type,Value,Note\nIP address,\"192[.]0[.]2[.]7\",\"a\nb\"\nnpm package,@s/x,\"1, 2\"\nSHA256,zz,c\n",
    ),
    (
        "csv",
        "2026-08-22 02:53:35,user,domain,a.example,#phishing,https://x.example/1\n2026-08-22 02:53:35,user,url,http://a.example/,,https://x.example/1\n",
    ),
    (
        "list",
        "# TLP:GREEN\n192.0.2.7:443\nevil[.]example # c2\n0.0.0.0 sink.example\n||ads.example^\n[2001:db8::1]:80\n10.0.0.0/8\t4\n",
    ),
];

/// Words that matter to the parsers, put where they do not belong.
const WORDS: &[&str] = &[
    "\"",
    "'",
    "\\",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ",",
    ":",
    "\n",
    "\r",
    "\0",
    "\u{feff}",
    "\u{202e}",
    "é",
    "0",
    "-1",
    "1e999",
    "null",
    "true",
    "AND",
    " OR ",
    "FOLLOWEDBY",
    "\"objects\"",
    "\"Event\"",
    "\"Attribute\"",
    "\"pattern\"",
    "--",
    "|",
    "/",
    "99999999999999999999",
];

fn damage(text: &str, random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..6) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = random.next_u32() as u8,
            2 => {
                let word = WORDS[random.random_range(0..WORDS.len())];
                bytes.splice(at..at, word.bytes());
            }
            3 => {
                let end = (at + random.random_range(0..40)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + random.random_range(0..200)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let (_, other) = SEEDS[random.random_range(0..SEEDS.len())];
                let other = other.as_bytes();
                let end = (at + random.random_range(0..60)).min(other.len());
                bytes.extend_from_slice(&other[at.min(end)..end]);
            }
        }
    }
    bytes
}

fn take(bytes: &[u8], profile: &Profile, seed: u64) {
    let file = FileInfo { name: "damaged", source: "test", org: OrgId([5; 32]), profile };
    let Ok(found) = import(bytes, &file) else { return };
    assert!(found.skipped.len() <= SKIPPED_MAX, "seed {seed}");
    for report in &found.reports {
        assert!(report.indicators.len() <= INDICATORS_MAX, "seed {seed}");
        assert!(report.title.len() <= LINE_MAX && !report.title.contains('\n'), "seed {seed}");
        assert!(report.labels.is_sorted_by(|a, b| a < b), "seed {seed}");
        for indicator in &report.indicators {
            assert!(indicator.is_pattern() || indicator.what.is_canonical(), "seed {seed}: {indicator:?}");
            assert!(indicator.comment.len() <= LINE_MAX, "seed {seed}");
        }
    }
    for skipped in &found.skipped {
        assert!(!skipped.path.contains(char::is_control), "seed {seed}: {skipped:?}");
        assert!(!skipped.why.contains(|c: char| c.is_control()), "seed {seed}: {skipped:?}");
    }
}

#[test]
fn every_format_has_a_seed() {
    for format in FORMATS {
        let seeds: Vec<&str> =
            SEEDS.iter().filter(|(name, _)| *name == format.name).map(|(_, text)| *text).collect();
        assert!(!seeds.is_empty(), "no seed is of the format `{}`", format.name);
        for text in seeds {
            // The first format that takes it wins.
            let taken = recognise(text.as_bytes()).unwrap().name;
            assert_eq!(taken, format.name, "a file of the second is taken for one of the first:\n{text}");
            // Through the door that files come by, which refuses some before their format is asked.
            let profile = Profile::default();
            let file = FileInfo { name: "seed", source: "test", org: OrgId([5; 32]), profile: &profile };
            let found = import(text.as_bytes(), &file).unwrap();
            assert_eq!(found.format, format.name);
            assert!(found.counts.indicators > 0, "nothing is found in a seed of `{}`:\n{text}", format.name);
        }
    }
    let none = recognise(br#"{"neither": "of them"}"#).unwrap_err().to_string();
    for format in FORMATS {
        assert!(none.contains(format.name), "{none}");
    }
}

#[test]
fn words_of_another_format_do_not_make_a_file_its_own() {
    for (name, text) in [
        ("list", "# an \"Event\" with \"spec_version\" and \"to_ids\"\nevil.example # \"type\":\"bundle\"\n"),
        ("list", "[2001:db8::1]:80\n# {\"Event\":{}}\n"),
        (
            "csv",
            "type,value,note\ndomain,evil.example,\"{\"\"spec_version\"\":\"\"2.1\"\"}\"\ndomain,a.example,\"\"\"Event\"\"\"\n",
        ),
        (
            "misp",
            r#"{"Event":{"info":"a","comment":"{\"type\":\"bundle\"}, \"spec_version\", indicator--1","uuid":"59dbf0f6-3203-413a-9fbc-7960b592e4cf",
            "Attribute":[{"type":"text","value":"indicator--00000000-0000-4000-8000-000000000001"},{"type":"text","value":"bundle"}]}}"#,
        ),
        (
            "stix",
            r#"{"more":false,"objects":[{"name":"Event","description":"\"Event\": \"to_ids\"","type":"indicator","spec_version":"2.1"}]}"#,
        ),
    ] {
        assert_eq!(recognise(text.as_bytes()).unwrap().name, name, "{text}");
    }
    let neither = br#"{"said":["Event","spec_version","bundle--1"],"Events":"\"Event\":1"}"#;
    assert!(recognise(neither).is_err());
}

#[test]
fn damaged_files_never_panic() {
    let first = std::env::var("TOCSIN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0_u64);
    let profiles: Vec<Profile> = std::iter::once(Profile::default())
        .chain(
            FORMATS
                .iter()
                .map(|format| Profile { format: Some(format.name.to_owned()), ..Profile::default() }),
        )
        .collect();
    for seed in first..first + 4_000 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (_, text) = SEEDS[random.random_range(0..SEEDS.len())];
        let bytes = damage(text, &mut random);
        // Printed only when a test fails: the seed that did it.
        println!("seed {seed}");
        for profile in &profiles {
            take(&bytes, profile, seed);
        }
    }
}
