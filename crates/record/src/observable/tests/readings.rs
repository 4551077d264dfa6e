//! One value in all the ways in which people write it.

use super::*;

#[test]
fn hardware_addresses_are_cut_in_any_one_way() {
    for text in ["00:00:5e:00:53:0a", "00-00-5E-00-53-0A", "0000.5e00.530a", "00005E00530A"] {
        assert_eq!(Observable::parse("mac", text).unwrap().show(), "00:00:5e:00:53:0a", "{text}");
    }
}

#[test]
fn url_normal_form() {
    for (text, normal) in [
        ("HTTPS://Evil.Example:443", "https://evil.example/"),
        ("http://evil.example./", "http://evil.example/"),
        ("http://[::ffff:192.0.2.7]:8080/x", "http://192.0.2.7:8080/x"),
        ("http://[2001:DB8::7]/", "http://[2001:db8::7]/"),
        ("tcp://EVIL.example:4444", "tcp://evil.example:4444"),
        ("http://u:p@evil.example/?a=b%2f#c", "http://u:p@evil.example/?a=b%2F"),
        ("evil.example/a b", "http://evil.example/a%20b"),
        ("http://evil.example\\a\\b", "http://evil.example/a/b"),
        ("http://_x.evil.example/%zz", "http://_x.evil.example/%zz"),
        ("http://0xc0.0.2.7/", "http://192.0.2.7/"),
        ("http://evil.example/%7Ejoe/", "http://evil.example/~joe/"),
        ("http://evil.example/%7ejoe/", "http://evil.example/~joe/"),
        ("http://evil.example/~joe/", "http://evil.example/~joe/"),
        ("http://evil.example/%41%2d%2E%5f?%7a#%41", "http://evil.example/A-._?z"),
        ("http://evil.example/%25%37%45", "http://evil.example/%257E"),
        ("http://evil.example/%%37%45", "http://evil.example/~"),
        ("http://evil.example/a/%2e%2E/b", "http://evil.example/b"),
        ("http://%65vil.example/", "http://evil.example/"),
        ("tcp://%75@evil.example/%7e", "tcp://u@evil.example/~"),
        ("http://xn--ZZZZZZ99.evil.example:8080/a?b", "http://xn--zzzzzz99.evil.example:8080/a?b"),
        ("http://u@xn--zzzzzz99.evil.example/%7e#f", "http://u@xn--zzzzzz99.evil.example/~"),
        ("tcp://xn--zzzzzz99.evil.example:4444", "tcp://xn--zzzzzz99.evil.example:4444"),
        ("evil.example/", "http://evil.example/"),
    ] {
        assert_eq!(Observable::parse("url", text).unwrap().show(), normal);
    }
}

/// One reading for one value, whatever stands around it and whatever door it comes through.
const READINGS: &[(&str, &str, &[&str])] = &[
    (
        "ipv4",
        "192.0.2.7",
        &[
            "192.0.2.7:443",
            "192.0.2.7|443",
            "192.0.2.7:443/tcp",
            "192.0.2.7/",
            "192.0.2.7.",
            "192.0.2.7,",
            "\"192.0.2.7\"",
            "IP: 192.0.2.7",
            "ipv4:192.0.2.7",
            "192[.]0[.]2[.]7",
            "192[.]0[.]2[.]7[:]443",
            "192.0.2.7/32",
            "::ffff:192.0.2.7",
            "192.0.2.7\u{200b}",
            "\u{201c}192.0.2.7\u{201d}",
            "192 . 0 . 2 . 7",
            "192.0.2.7/255.255.255.255",
        ],
    ),
    (
        "ipv6",
        "2001:db8::7",
        &[
            "[2001:db8::7]",
            "[2001:db8::7]:443",
            "2001:DB8:0::7",
            "IPv6: 2001:db8::7",
            "2001[:]db8::7",
            "2001:db8::7/128",
        ],
    ),
    (
        "ipv4-net",
        "192.0.2.0/24",
        &[
            "192.0.2.0/255.255.255.0",
            "192.0.2.0/0.0.0.255",
            "192.0.2.0 255.255.255.0",
            "192.0.2.0-192.0.2.255",
            "192.0.2.0 - 192.0.2.255",
            "192.0.2.0 \u{2013} 192.0.2.255",
            "192.0.2.0-255",
            "192.0.2.*",
            "192[.]0[.]2[.]0/24",
            "CIDR: 192.0.2.0/24",
            "192.0.2.9/24",
        ],
    ),
    ("ipv6-net", "2001:db8::/32", &["2001:db8::/32,", "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"]),
    (
        "domain",
        "evil.example",
        &[
            "*.evil.example",
            ".evil.example",
            "evil.example:8080",
            "evil.example|443",
            "evil.example/",
            "evil.example.",
            "EVIL.example",
            "evil[.]example",
            "evil(.)example",
            "evil{.}example",
            "evil<.>example",
            "evil[dot]example",
            "evil dot example",
            "evil\\.example",
            "evil[.example",
            "\u{201c}evil.example\u{201d}",
            "\u{ab}evil.example\u{bb}",
            "'evil.example'",
            "`evil.example`",
            "Domain: evil.example",
            "host=evil.example",
            "evil.example;",
            "evil\u{ad}.example",
            "evil\u{3002}example",
            "evil_dot_example",
        ],
    ),
    ("domain", "xn--29s7inly9ib.evil.example", &["XN--29S7INLY9IB.evil.example"]),
    ("domain", "xn--bcher-kva.xn--zzzzzz99.example", &["b\u{fc}cher.xn--zzzzzz99.example"]),
    (
        "url",
        "http://evil.example/~a?b",
        &[
            "hxxp://evil.example/~a?b",
            "hxxp://evil[.]example/%7Ea?b#c",
            "h00p://evil.example/~a?b",
            "hxxx://evil.example/~a?b",
            "hxxp:\\\\evil.example\\~a?b",
            "http[:]//evil.example/~a?b",
            "hxxp[://]evil.example[/]~a?b",
            "<http://evil.example/~a?b>",
            "URL: http://evil.example/~a?b",
            "evil.example/~a?b",
            "http//evil.example/~a?b",
            "\"http://evil.example:80/~a?b\"",
        ],
    ),
    (
        "url",
        "https://evil.example/",
        &[
            "hxxp[s]://evil.example/",
            "hxxps://evil.example",
            "https:/evil.example/",
            "HXXPS[:]//EVIL[.]EXAMPLE/",
        ],
    ),
    (
        "email",
        "me@evil.example",
        &[
            "A B <me@evil.example>",
            "\"B, A\" <Me@Evil.example>",
            "me@evil.example (A B)",
            "mailto:me@evil.example",
            "<me@evil.example>",
            "mailto:me@evil.example?subject=x",
            "me[at]evil[.]example",
            "me(at)evil(dot)example",
            "me at evil dot example",
            "E-Mail: me@evil.example",
            "From: A B <me@evil.example>",
            "me@evil.example,",
            "A B <me[@]evil[.]example>",
        ],
    ),
    (
        "md5",
        "d41d8cd98f00b204e9800998ecf8427e",
        &[
            "MD5: d41d8cd98f00b204e9800998ecf8427e",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "MD5=D41D8CD98F00B204E9800998ECF8427E",
            "\"d41d8cd98f00b204e9800998ecf8427e\"",
            "d41d8cd98f00b204e9800998ecf8427e;",
        ],
    ),
    (
        "sha1",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        &["SHA-1: da39a3ee5e6b4b0d3255bfef95601890afd80709"],
    ),
    (
        "sha256",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        &[
            "SHA-256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ],
    ),
];

#[test]
fn every_writing_of_a_value_reads_alike() {
    let mut wrong = Vec::new();
    for (name, canonical, writings) in READINGS {
        let value = Observable::parse(name, canonical).unwrap();
        assert_eq!(value.show(), *canonical);
        let row = Type::by_name(name).unwrap();
        for text in writings.iter().chain([canonical]) {
            let mut check = |door: &str, found: Result<Observable, ParseError>| {
                if found.as_ref() != Ok(&value) {
                    wrong.push(format!("{text} as {door}: {found:?}"));
                }
            };
            check("itself", detect(text).map(|found| found.observable));
            check(name, row.parse(text));
            for misp in row.misp {
                check(misp, from_misp(misp, text).map(|mut found| found.values.remove(0)));
            }
            for path in row.stix {
                check(path, from_stix_path(path, text));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
