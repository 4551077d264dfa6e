//! What patterns name, against what other readers say of them.

use super::*;

fn shown(pattern: &str) -> (Vec<String>, bool) {
    let named = read(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    let values = named.values.iter().map(|value| format!("{} {}", value.type_name(), value.show()));
    (values.collect(), named.complete)
}

#[test]
fn values_of_equalities() {
    for (pattern, values) in [
        ("[domain-name:value = 'Evil.example']", "domain evil.example"),
        ("[domain-name:value='192.0.2.7']", "ipv4 192.0.2.7"),
        ("[  ipv4-addr:value  =  '192.0.2.0/24'  ]", "ipv4-net 192.0.2.0/24"),
        ("[ipv4-addr:value ISSUBSET '192.0.2.0/24']", "ipv4-net 192.0.2.0/24"),
        ("[file:hashes.md5 = 'd41d8cd98f00b204e9800998ecf8427e']", "md5 d41d8cd98f00b204e9800998ecf8427e"),
        ("[file:hashes.'MD5' = 'd41d8cd98f00b204e9800998ecf8427e']", "md5 d41d8cd98f00b204e9800998ecf8427e"),
        ("[app:id = 'com.evil.app']", "app com.evil.app"),
        ("[hostname:value = 'a.example' OR domain-name:value = 'a.example']", "domain a.example"),
        ("[x-opencti-hostname:value = 'a.example']", "domain a.example"),
        ("[domain:value = 'a.example']", "domain a.example"),
        (
            "[file:hashes.SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855']",
            "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (r"[url:value = 'http://a.example/evil.txt\')']", "url http://a.example/evil.txt')"),
        (r"[file:name = 'weird\'']", "filename weird'"),
        ("[domain-name:value IN ('a.example', 'b.example')]", "domain a.example,domain b.example"),
        (
            "[domain-name:value = 'a.example' OR url:value = 'http://b.example/']",
            "domain a.example,url http://b.example/",
        ),
        (
            "[domain-name:value = 'a.example'] OR [(domain-name:value = 'b.example')]",
            "domain a.example,domain b.example",
        ),
        (
            "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.7/32']",
            "ipv4 192.0.2.7",
        ),
        (
            "[user-account:account_type = 'telegram' AND user-account:account_login = 'Some']",
            "account telegram:some",
        ),
        (
            "[(domain-name:value = 'a.example' OR domain-name:value = 'b.example') AND domain-name:value != 'b.example']",
            "domain a.example",
        ),
        ("[domain-name:value = 'a.example'] WITHIN 300 SECONDS", "domain a.example"),
        ("[domain-name:value = 'a.example'] REPEATS 1 TIMES", "domain a.example"),
        ("([domain-name:value = 'a.example'])", "domain a.example"),
        ("[domain-name:value = 'a.example' AND domain-name:value != 'b.example']", "domain a.example"),
        ("[domain-name:value = 'a.example' AND domain-name:value LIKE '%.example']", "domain a.example"),
        (
            "[domain-name:value = 'a.example' AND domain-name:value IN ('a.example', 'b.example')]",
            "domain a.example",
        ),
        ("[domain-name:value = 'a.example' AND domain-name:value = 'A.example']", "domain a.example"),
        // What misp-stix writes.
        (
            "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.7' AND network-traffic:dst_port = 443]",
            "ipv4 192.0.2.7",
        ),
        (
            "[(network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.7') AND network-traffic:dst_port = '443' \
             AND network-traffic:x_misp_first_seen = 'x']",
            "ipv4 192.0.2.7",
        ),
        (
            "[(network-traffic:src_ref.type = 'ipv4-addr' AND network-traffic:src_ref.value = '192.0.2.7') AND \
             (network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '192.0.2.8') AND \
             network-traffic:protocols[0] = 'tcp' AND network-traffic:dst_port = '443']",
            "ipv4 192.0.2.7,ipv4 192.0.2.8",
        ),
        ("[domain-name:value = 'a.example' AND network-traffic:dst_port = 8080]", "domain a.example"),
        (
            "[domain-name:value = 'a.example' AND domain-name:resolves_to_refs[*].value = '192.0.2.7']",
            "domain a.example,ipv4 192.0.2.7",
        ),
        (
            "[windows-registry-key:key = 'HKLM\\\\x' AND windows-registry-key:values.data = 'y']",
            "regkey hkey_local_machine\\x",
        ),
        ("[url:value = 'http://a.example/' AND url:x_misp_host = 'a.example']", "url http://a.example/"),
        ("[mutex:name = 'it\\'s \\\\ here']", "mutex it's \\ here"),
        ("[autonomous-system:number = 64496]", "asn AS64496"),
    ] {
        assert_eq!(shown(pattern), (values.split(',').map(str::to_owned).collect(), true), "{pattern}");
    }
}

#[test]
fn what_is_more_than_values_is_not_complete() {
    for (pattern, count) in [
        ("[domain-name:value LIKE '%.evil.example']", 0),
        ("[domain-name:value != 'evil.example']", 0),
        ("[domain-name:value NOT = 'evil.example']", 0),
        ("[EXISTS file:name]", 0),
        ("[file:size = 1280]", 0),
        ("[network-traffic:dst_ref.type = 'ipv4-addr']", 0),
        ("[user-account:account_login = 'some']", 0),
        ("[file:name = 'a.exe' AND file:size = 12]", 0),
        ("[file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e' AND file:size = 12]", 1),
        ("[file:name = 'a.exe' OR file:size = 12]", 1),
        ("[domain-name:value = 'a.example' AND domain-name:value = 'b.example']", 0),
        ("[domain-name:value = 'a.example' AND ipv4-addr:value = '192.0.2.7']", 0),
        ("[domain-name:value = 'a.example' AND file:name = 'a.exe']", 0),
        ("[domain-name:value = 'a.example' AND domain-name:value != 'a.example']", 0),
        ("[domain-name:value = 'a.example' AND domain-name:value LIKE 'b%']", 0),
        ("[domain-name:value = 'a.example' AND domain-name:value MATCHES '^a']", 0),
        ("[network-traffic:dst_ref.value = '192.0.2.7' AND network-traffic:dst_byte_count > 10]", 0),
        ("[network-traffic:dst_ref.value = '192.0.2.7' AND network-traffic:dst_port != 443]", 0),
        ("[file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e'] AND [domain-name:value = 'a.example']", 0),
        (
            "[domain-name:value = 'a.example'] FOLLOWEDBY [domain-name:value = 'b.example'] OR [domain-name:value = 'c.example']",
            0,
        ),
        (
            "[domain-name:value = 'a.example'] OR [domain-name:value = 'b.example'] AND [domain-name:value = 'c.example']",
            1,
        ),
        (
            "([domain-name:value = 'a.example'] FOLLOWEDBY [domain-name:value = 'b.example']) OR [domain-name:value = 'c.example']",
            1,
        ),
        (
            "[(file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e' OR domain-name:value = 'a.example') AND (file:name = 'a.exe' OR \
             domain-name:value = 'a.example')]",
            2,
        ),
        ("[domain-name:value = 'a.example'] START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'", 0),
        ("[domain-name:value = 'a.example'] AND [domain-name:value = 'b.example']", 0),
        ("[domain-name:value = 'a.example'] FOLLOWEDBY [domain-name:value = 'b.example']", 0),
        ("[domain-name:value = 'a.example'] REPEATS 5 TIMES WITHIN 10 SECONDS", 0),
        ("[file:hashes.'SHA-256' = 'f00']", 0),
    ] {
        let (values, complete) = shown(pattern);
        assert_eq!((values.len(), complete), (count, false), "{pattern}: {values:?}");
    }
}

/// A pattern of `patterns.txt` at its full length; `scripts/stix-patterns` says how it is written there.
fn long(short: &str) -> String {
    let mut out = String::new();
    let mut signs = short.chars().peekable();
    while let Some(sign) = signs.next() {
        let (path, form) = match sign {
            'd' => ("domain-name", "?.example"),
            'i' => ("ipv4-addr", "192.0.2.?"),
            'u' => ("url", "http://?.example/"),
            '&' => {
                out.push_str(" AND ");
                continue;
            }
            '|' => {
                out.push_str(" OR ");
                continue;
            }
            '>' => {
                out.push_str(" FOLLOWEDBY ");
                continue;
            }
            'W' => {
                out.push_str(" WITHIN 60 SECONDS");
                continue;
            }
            '1' | '2' => {
                out.push_str(&format!(" REPEATS {sign} TIMES"));
                continue;
            }
            other => {
                out.push(other);
                continue;
            }
        };
        let value = |letter: char| {
            let number = (u32::from(letter) - 96).to_string();
            format!("'{}'", form.replace('?', &if sign == 'i' { number } else { letter.to_string() }))
        };
        let operator = signs.next().unwrap();
        let (word, close) = match operator {
            '=' => ("=", None),
            '!' => ("!=", None),
            '~' => ("LIKE", None),
            '{' => ("IN", Some('}')),
            _ => ("NOT IN", Some('{')),
        };
        let values = match close {
            None => value(signs.next().unwrap()),
            Some(close) => {
                let all: Vec<String> = signs.by_ref().take_while(|c| *c != close).map(value).collect();
                format!("({})", all.join(", "))
            }
        };
        out.push_str(&format!("{path}:value {word} {values}"));
    }
    out
}

#[test]
fn values_are_those_that_the_standards_own_matcher_matches_alone() {
    let (mut patterns, mut named) = (0, 0);
    for line in include_str!("patterns.txt").lines().filter(|line| !line.starts_with('#')) {
        let (short, values) = line.split_once('\t').unwrap();
        let text = long(short);
        let mut found: Vec<String> = read(&text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
            .values
            .iter()
            .map(Observable::show)
            .collect();
        found.sort();
        found.dedup();
        let full = |value: &str| {
            let letter = &value[1..];
            match &value[..1] {
                "d" => format!("{letter}.example"),
                "i" => format!("192.0.2.{}", u32::from(letter.as_bytes()[0]) - 96),
                _ => format!("http://{letter}.example/"),
            }
        };
        let mut expected: Vec<String> = values.split_whitespace().map(full).collect();
        expected.sort();
        assert_eq!(found, expected, "{text}");
        patterns += 1;
        named += expected.len();
    }
    assert!(patterns == 2_000 && named > 1_000, "{patterns} patterns, {named} values");
}

#[test]
fn alternatives_without_end_cost_no_more_than_a_bound() {
    let all = vec!["(domain-name:value = 'a.example' OR domain-name:value = 'b.example')"; 200];
    let (values, complete) = shown(&format!("[{}]", all.join(" AND ")));
    assert!(values.is_empty() && !complete);
}

#[test]
fn what_describes_a_value_is_told_from_it() {
    let named = read(
        "[file:name = 'a.exe' AND file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e' AND file:size = 3]",
    )
    .unwrap();
    let shown = |values: &[Observable]| values.iter().map(Observable::show).collect::<Vec<_>>();
    assert_eq!(shown(&named.values), ["d41d8cd98f00b204e9800998ecf8427e"]);
    assert_eq!((shown(&named.beside), named.complete), (vec!["a.exe".to_owned()], false));
    let named =
        read("[email-message:from_ref.value = 'me@a.example' AND email-message:subject = 'x']").unwrap();
    assert_eq!((named.values.len(), shown(&named.beside)), (0, vec!["me@a.example".to_owned()]));
}

#[test]
fn what_is_no_pattern_says_where() {
    for text in [
        "",
        "[",
        "[]",
        "file:size = 1",
        "[file:size = ]",
        "[a:b = 'x]",
        "[a:b = 'x'",
        "[a:b = 'x'] x",
        "[a = 1]",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    let deep = format!("{}[a:b = 1]{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(read(&deep).unwrap_err().to_string().contains("too many brackets"));
}

/// What feeds put where something else belongs is taken as what it is, and never in silence.
#[test]
fn what_is_not_what_its_path_says_is_told() {
    let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (pattern, values, said) in [
        (
            "[domain-name:value = '176.223.111.131']",
            "ipv4 176.223.111.131",
            "`domain-name:value` and is `ipv4`",
        ),
        ("[ipv4-addr:value = '2001:db8::9']", "ipv6 2001:db8::9", "`ipv4-addr:value` and is `ipv6`"),
        (
            "[ipv4-addr:value IN ('192.0.2.7', 'evil.example')]",
            "ipv4 192.0.2.7,domain evil.example",
            "is `domain`",
        ),
        (
            &format!("[file:hashes.MD5 = '{sha256}']"),
            &format!("sha256 {sha256}"),
            "`file:hashes.MD5` and is `sha256`",
        ),
        ("[ipv4-addr:value = '198.51.100.5/33']", "", "matched against nothing"),
        ("[file:hashes.MD5 = 'd41d8cd9']", "", "matched against nothing"),
        ("[domain-name:value = '192.0.2.7' AND url:value = 'http://a.example/']", "", ""),
        ("[ipv4-addr:value = '192.0.2.0/24']", "ipv4-net 192.0.2.0/24", ""),
        ("[domain-name:resolves_to_refs[*].value = '192.0.2.7']", "", ""),
    ] {
        let named = read(pattern).unwrap();
        let notes: Vec<&str> = named.notes.iter().map(|note| note.why.as_str()).collect();
        assert_eq!(notes.len(), usize::from(!said.is_empty()), "{pattern}: {notes:?}");
        assert!(notes.concat().contains(said), "{pattern}: {notes:?}");
        if !values.is_empty() {
            assert_eq!(shown(pattern).0.join(","), values, "{pattern}");
        }
    }
}
