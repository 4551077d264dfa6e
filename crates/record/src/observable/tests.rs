//! Properties and external names; golden values, the ways to write one value, and detection stand in files of their own.

use proptest::prelude::*;

use super::*;

mod detection;
mod golden;
mod readings;

#[test]
fn encoding_is_pinned_and_shared_by_both_twins() {
    let config = bincode::config::standard().with_limit::<65536>();
    let found = Observable::parse("ipv4", "192.0.2.7").unwrap();
    let bytes = bincode::encode_to_vec(&found, config).unwrap();
    assert_eq!(bytes, [1, 4, 192, 0, 2, 7]);
    assert_eq!(bincode::encode_to_vec(found.borrowed(), config).unwrap(), bytes);
    let (owned, used): (Observable, usize) = bincode::decode_from_slice(&bytes, config).unwrap();
    assert_eq!((owned, used), (found.clone(), bytes.len()));
    let (twin, _): (ObservableRef<'_>, usize) = bincode::borrow_decode_from_slice(&bytes, config).unwrap();
    assert_eq!(twin, found.borrowed());
}

#[test]
fn unknown_types_and_bad_bytes_are_kept_but_not_canonical() {
    let unknown = Observable { kind: 60000, value: vec![1, 0x1b] };
    assert!(!unknown.is_canonical());
    assert_eq!(unknown.show(), "type-60000:011b");
    assert!(unknown.parents().is_empty());
    let bad = [
        (kind::IPV4, &[1, 2, 3][..]),
        (kind::IPV6, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4]),
        (kind::IPV4_NET, &[10, 0, 0, 1, 24]),
        (kind::IPV4_NET, &[10, 0, 0, 0, 32]),
        (kind::IPV6_NET, &[0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128]),
        (kind::DOMAIN, b"Evil.example"),
        (kind::DOMAIN, b"evil.example."),
        (kind::DOMAIN, b"evil..example"),
        (kind::DOMAIN, b"192.0.2.7"),
        (kind::DOMAIN, b""),
        (kind::URL, b"http://EVIL.example/"),
        (kind::URL, b"http://evil.example/#x"),
        (kind::URL, b"http://evil.example/%c3"),
        (kind::URL, b"http://evil.example/%7E"),
        (kind::URL, b"http://evil.example/?%41"),
        (kind::URL, b"http://evil.example:/"),
        (kind::URL, b"http:///x"),
        (kind::URL, "http://evil.example/é".as_bytes()),
        (kind::EMAIL, b"Me@evil.example"),
        (kind::EMAIL, b"@evil.example"),
        (kind::MD5, b"short"),
        (kind::FILENAME, b"a\x1b[31m"),
        (kind::FILENAME, b" a"),
        (kind::FILENAME, b"\xff"),
        (kind::CVE, b"CVE-2021-04422"),
        (kind::PHONE, b"+0301234567"),
        (kind::ACCOUNT, b"Twitter:me"),
        (kind::TRAVEL_DOCUMENT, b"DEU:P:C01X00T47"),
        (kind::PACKAGE, b"pkg:npm/@scope/name"),
        (kind::REGKEY, b"HKLM\\x"),
        (kind::SHA1, b"short"),
        (kind::SHA256, b"short"),
        (kind::SHA512, b"short"),
        (kind::CERT_SHA1, b"short"),
        (kind::CERT_SHA256, b"short"),
        (kind::ASN, b"short"),
        (kind::MAC, b"short"),
        (kind::CRYPTO_ADDRESS, b"0xDE0B295669a9FD93d5F28D9Ec85E40f4cb697BAe"),
        (kind::PROCESS, b"a "),
        (kind::APP, b""),
        (kind::USER_AGENT, b"a\nb"),
        (kind::MUTEX, b"\xff"),
    ];
    for row in TYPES {
        assert!(bad.iter().any(|(kind, _)| *kind == row.id), "no bytes that are no {}", row.name);
    }
    for (kind, value) in bad {
        let bad = ObservableRef { kind, value };
        assert!(!bad.is_canonical(), "{bad:?}");
        assert!(bad.show().starts_with("type-"), "{bad:?}");
    }
    let long = vec![b'a'; MAX_VALUE + 1];
    assert!(!ObservableRef { kind: kind::FILENAME, value: &long }.is_canonical());
}

#[test]
fn refuses_with_a_reason() {
    let refused = [
        ("ipv4", "010.0.0.1"),
        ("ipv4", "2001:db8::7"),
        ("ipv6", "fe80::1%eth0"),
        ("ipv6", "192.0.2.7"),
        ("ipv4-net", "192.0.2.0/33"),
        ("ipv4-net", "192.0.2.0/+8"),
        ("ipv6-net", "fe80::%1/64"),
        ("domain", "192.0.2.7"),
        ("domain", "*."),
        ("domain", "a.*.evil.example"),
        ("domain", "ev il.example"),
        ("domain", "a..b"),
        ("url", "javascript:alert(1)"),
        ("url", "http://"),
        ("url", "/only/a/path"),
        ("url", "http://ev%20il.example/"),
        ("email", "evil.example"),
        ("email", "a b@evil.example"),
        ("md5", "d41d8cd98f00b204e9800998ecf8427"),
        ("cve", "CVE-1-1"),
        ("asn", "AS4294967296"),
        ("asn", "AS"),
        ("asn", "AS+5"),
        ("crypto-address", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"),
        ("crypto-address", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5"),
        ("phone", "030123456"),
        ("account", "someone"),
        ("travel-document", "C01X00T47"),
        ("mac", "00005e0053"),
        ("mac", "00005e00530g"),
        ("mac", "00:00-5e:00:53:01"),
        ("mac", "0000.5e00:5301"),
        ("mac", "0000:5e00:5301"),
        ("mac", "00:005e:00:53:01"),
        ("filename", "a\nb"),
        ("filename", "  "),
        ("sha1", "da39a3ee5e6b4b0d3255bfef95601890afd8070"),
        ("sha256", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("sha512", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("cert-sha1", "AB:CD"),
        ("cert-sha256", "AB:CD"),
        ("package", "left-pad"),
        ("app", "com.example app"),
        ("regkey", "\\"),
        // These are any text.
        ("process", "a\nb"),
        ("user-agent", "a\u{1b}[31m"),
        ("mutex", "\u{feff}"),
    ];
    for row in TYPES {
        assert!(refused.iter().any(|(name, _)| *name == row.name), "no text that is no {}", row.name);
    }
    for (name, text) in refused {
        let error = Observable::parse(name, text).unwrap_err();
        assert!(!error.to_string().contains(|c: char| c.is_control()), "{error}");
    }
    assert_eq!(Observable::parse("ip", "x"), Err(ParseError::UnknownType("ip".into())));
    let long = "a".repeat(MAX_VALUE + 1);
    assert!(matches!(Observable::parse("filename", &long), Err(ParseError::TooLong { .. })));
    // Percent-encoding makes it three times as long.
    let grows = format!("http://evil.example/{}", "ü".repeat(1500));
    assert!(matches!(Observable::parse("url", &grows), Err(ParseError::TooLong { .. })));
}

#[test]
fn narrower_types_win() {
    for (name, text, kind, shown) in [
        ("ipv4-net", "192.0.2.7/32", "ipv4", "192.0.2.7"),
        ("ipv6-net", "2001:db8::7/128", "ipv6", "2001:db8::7"),
        ("ipv6", "::ffff:192.0.2.7", "ipv4", "192.0.2.7"),
        ("ipv6-net", "::ffff:192.0.2.0/120", "ipv4-net", "192.0.2.0/24"),
        ("ipv6-net", "::ffff:192.0.2.7/128", "ipv4", "192.0.2.7"),
        ("ipv6", "[2001:db8::7]", "ipv6", "2001:db8::7"),
    ] {
        let found = Observable::parse(name, text).unwrap();
        assert_eq!((found.type_name(), &*found.show()), (kind, shown));
    }
}

#[test]
fn a_hash_is_one_wherever_hashes_are_told_from_other_values() {
    let of_files: Vec<u16> = TYPES.iter().filter(|row| row.is_file_hash()).map(|row| row.id).collect();
    assert_eq!(of_files, detect::HASH, "`HASH` of detect.rs has other hashes of files than the table");
    for row in TYPES.iter().filter(|row| row.is_file_hash()) {
        let bytes = [7; 64];
        let length = (1..=bytes.len()).find(|length| (row.check)(&bytes[..*length])).unwrap();
        let text = format!("{}: {}", row.name.to_uppercase(), hash::hex(&bytes[..length]));
        assert_eq!(
            detect(&text).unwrap().observable.kind,
            row.id,
            "`LABELS` of detect.rs has no {}",
            row.name
        );
    }
}

#[test]
fn breadth_is_a_guardrail() {
    for (name, text, breadth) in [
        ("ipv4-net", "0.0.0.0/0", Breadth::TooWide),
        ("ipv4-net", "10.0.0.0/7", Breadth::TooWide),
        ("ipv4-net", "10.0.0.0/8", Breadth::Fine),
        ("ipv6-net", "2000::/15", Breadth::TooWide),
        ("ipv6-net", "2001::/16", Breadth::Fine),
        ("domain", "com", Breadth::SingleLabel),
        ("domain", "localhost", Breadth::SingleLabel),
        ("domain", "co.uk", Breadth::PublicSuffix),
        ("domain", "公司.cn", Breadth::PublicSuffix),
        ("domain", "evil.co.uk", Breadth::Fine),
        ("domain", "github.io", Breadth::Fine),
        ("domain", "evil.example", Breadth::Fine),
        ("url", "http://com/", Breadth::Fine),
    ] {
        assert_eq!(Observable::parse(name, text).unwrap().breadth(), breadth, "{text}");
    }
}

#[test]
fn parents_lead_to_the_registrable_domain() {
    let parents = |name, text| {
        Observable::parse(name, text).unwrap().parents().iter().map(Observable::show).collect::<Vec<_>>()
    };
    assert_eq!(parents("domain", "a.b.evil.co.uk"), ["b.evil.co.uk", "evil.co.uk"]);
    assert!(parents("domain", "evil.co.uk").is_empty());
    assert!(parents("domain", "evil.github.io").is_empty(), "a private suffix is no parent");
    assert_eq!(parents("domain", "x.evil.github.io"), ["evil.github.io"]);
    assert_eq!(parents("email", "me@mail.evil.com"), ["mail.evil.com", "evil.com"]);
    assert_eq!(
        parents("url", "http://a.evil.com:81/x?q#f"),
        [
            "https://a.evil.com:81/x?q",
            "http://a.evil.com:81/x",
            "https://a.evil.com:81/x",
            "a.evil.com",
            "evil.com"
        ]
    );
    assert_eq!(parents("url", "https://[2001:db8::7]/"), ["http://[2001:db8::7]/", "2001:db8::7"]);
    assert_eq!(parents("package", "npm:left-pad@1.3.0"), ["pkg:npm/left-pad"]);
    let deep = format!("{}evil.com", "a.".repeat(100));
    let found = parents("domain", &deep);
    assert_eq!(found.len(), breadth::MAX_PARENT_NAMES);
    assert_eq!(found.last().unwrap(), "evil.com");
    let deep = Observable::parse("url", &format!("http://{deep}/?")).unwrap();
    assert!(deep.parents().len() <= MAX_PARENTS);
}

#[test]
fn misp_and_stix_names() {
    let shown = |found: Result<Composite, ParseError>| {
        found.unwrap().values.iter().map(|o| format!("{} {o}", o.type_name())).collect::<Vec<_>>()
    };
    assert_eq!(
        shown(from_misp("domain|ip", "evil.example|192.0.2.7")),
        ["domain evil.example", "ipv4 192.0.2.7"]
    );
    assert_eq!(shown(from_misp("ip-dst|port", "192.0.2.7|443")), ["ipv4 192.0.2.7"]);
    assert_eq!(shown(from_misp("ip-src", "192.0.2.0/24")), ["ipv4-net 192.0.2.0/24"]);
    assert_eq!(shown(from_misp("domain", "192.0.2.7")), ["ipv4 192.0.2.7"]);
    assert_eq!(
        shown(from_misp("filename|md5", "a|b.exe|d41d8cd98f00b204e9800998ecf8427e")),
        ["filename a|b.exe", "md5 d41d8cd98f00b204e9800998ecf8427e"]
    );
    assert_eq!(shown(from_misp("twitter-id", "@Evil")), ["account twitter:evil"]);
    assert!(matches!(from_misp("port", "443"), Err(ParseError::UnknownMisp(_))));
    for (misp, value, values) in [
        ("ip-dst|port", "192.0.2.7", vec!["ipv4 192.0.2.7"]),
        ("ip-dst|port", "192.0.2.7:443", vec!["ipv4 192.0.2.7"]),
        ("ip-dst", "192.0.2.7|443", vec!["ipv4 192.0.2.7"]),
        ("hostname|port", "a.example:443", vec!["domain a.example"]),
        ("domain|ip", "a.example|", vec!["domain a.example"]),
        ("domain|ip", "a.example|n/a", vec!["domain a.example"]),
        ("domain|ip", "|192.0.2.7", vec!["ipv4 192.0.2.7"]),
        ("domain|ip", "a.example", vec!["domain a.example"]),
        ("filename|md5", "|d41d8cd98f00b204e9800998ecf8427e", vec!["md5 d41d8cd98f00b204e9800998ecf8427e"]),
        ("filename|md5", "a.exe|", vec!["filename a.exe"]),
        ("filename|md5", "d41d8cd98f00b204e9800998ecf8427e", vec!["md5 d41d8cd98f00b204e9800998ecf8427e"]),
        ("filename|imphash", "a.exe|d41d8cd98f00b204e9800998ecf8427e", vec!["filename a.exe"]),
        ("hostname", "hxxp://a[.]example/x", vec!["url http://a.example/x"]),
        ("ip-dst", "http://192.0.2.7/x", vec!["url http://192.0.2.7/x"]),
        ("ip-src", "192.0.2.0-192.0.2.2", vec!["ipv4-net 192.0.2.0/31", "ipv4 192.0.2.2"]),
        ("domain", "a.example b.example", vec!["domain a.example", "domain b.example"]),
    ] {
        assert_eq!(shown(from_misp(misp, value)), values, "{misp} {value}");
    }
    for (misp, value) in
        [("domain|ip", "|"), ("ip-dst|port", "|443"), ("filename|md5", "|zz"), ("port|port", "1|2")]
    {
        assert!(from_misp(misp, value).is_err(), "{misp} {value}");
    }
    let refused = from_misp("domain|ip", "a.example|n/a").unwrap().refused;
    assert!(matches!(&refused[..], [ParseError::Malformed { .. }]), "{refused:?}");
    for (path, value, kind) in [
        ("ipv4-addr:value", "192.0.2.0/24", "ipv4-net"),
        ("file:hashes.'SHA-256'", &"a".repeat(64), "sha256"),
        ("file:hashes.sha256", &"a".repeat(64), "sha256"),
        ("file:hashes.SHA256", &"a".repeat(64), "sha256"),
        ("network-traffic:dst_ref.value", "evil.example", "domain"),
        ("email-message:to_refs[0].value", "me@evil.example", "email"),
        ("app:id", "com.example", "app"),
        ("autonomous-system:number", "64500", "asn"),
    ] {
        assert_eq!(from_stix_path(path, value).unwrap().type_name(), kind);
    }
    assert!(matches!(from_stix_path("x:y", "z"), Err(ParseError::UnknownStix(_))));
    for (name, text, pattern) in [
        ("sha1", &*"A".repeat(40), Some(format!("[file:hashes.'SHA-1' = '{}']", "a".repeat(40)))),
        ("filename", "it's\\me", Some("[file:name = 'it\\'s\\\\me']".to_owned())),
        ("asn", "AS64500", Some("[autonomous-system:number = 64500]".to_owned())),
        ("cve", "CVE-2021-44228", None),
        (
            "account",
            "x:me",
            Some("[user-account:account_type = 'twitter' AND user-account:account_login = 'me']".to_owned()),
        ),
    ] {
        assert_eq!(Observable::parse(name, text).unwrap().stix_pattern(), pattern);
    }
}

#[test]
fn display_is_fit_for_a_terminal() {
    let found = Observable::parse("filename", "a\u{202e}cod.exe").unwrap();
    assert_eq!(found.to_string(), "a\\u{202e}cod.exe");
    assert_eq!(found.show(), "a\u{202e}cod.exe");
}

/// Texts that look like something: pieces of every type, cut and put together.
fn text_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("http://".to_owned()),
        Just("hxxps[:]//".to_owned()),
        Just("evil.com".to_owned()),
        Just("[.]".to_owned()),
        Just("@".to_owned()),
        Just(":".to_owned()),
        Just("/".to_owned()),
        Just("%c3".to_owned()),
        Just("[2001:db8::7]".to_owned()),
        Just("::ffff:".to_owned()),
        Just("192.0.2.7".to_owned()),
        Just("CVE-2021-".to_owned()),
        Just("pkg:npm/".to_owned()),
        "[a-zA-Z0-9._%?#-]{0,12}",
        "\\PC{0,6}",
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn nothing_panics_and_all_that_is_found_is_canonical(text in prop_oneof![text_like(), any::<String>()]) {
        if let Ok(found) = detect(&text) {
            prop_assert!(found.observable.is_canonical(), "{text} -> {:?}", found.observable);
        }
        for row in TYPES {
            let Ok(found) = row.parse(&text) else { continue };
            prop_assert!(found.is_canonical(), "{text} -> {found:?}");
            let row = found.row().unwrap();
            let shown = found.show();
            prop_assert!(!shown.contains(|c: char| c.is_control()));
            // The canonical form is a fixed point.
            let again = row.parse(&shown);
            prop_assert_eq!(again.as_ref(), Ok(&found), "{} -> {} as {}", text, shown, row.name);
            for parent in found.parents() {
                prop_assert!(parent.is_canonical(), "{found:?} -> {parent:?}");
                prop_assert!(parent != found);
            }
        }
    }

    #[test]
    fn bytes_from_outside_never_panic(kind in 0u16..40, value in proptest::collection::vec(any::<u8>(), 0..40)) {
        let found = ObservableRef { kind, value: &value };
        let _ = (found.show(), found.to_string(), found.breadth(), found.to_owned().parents(), found.stix_pattern());
    }

    #[test]
    fn addresses_in_networks(bits in any::<u128>(), prefix in 0u8..=128) {
        let ip = std::net::Ipv6Addr::from(bits);
        if let Ok(found) = Observable::parse("ipv6-net", &format!("{ip}/{prefix}")) {
            prop_assert!(found.is_canonical());
            prop_assert_eq!(&Observable::parse(found.type_name(), &found.show()).unwrap(), &found);
        }
    }
}
