//! Golden values: what stands in signed records and so never changes.

use super::*;

/// Every type with a text, its canonical bytes in hexadecimal and as shown. Ids, names and bytes stand in signed
/// records: a line here is appended, never changed.
const GOLDEN: &[(u16, &str, &str, &str, &str)] = &[
    (1, "ipv4", "192[.]0[.]2[.]7", "c0000207", "192.0.2.7"),
    (2, "ipv6", "2001:DB8:0:0::7", "20010db8000000000000000000000007", "2001:db8::7"),
    (3, "ipv4-net", "192.0.2.77/24", "c000020018", "192.0.2.0/24"),
    (4, "ipv6-net", "2001:db8:ffff::/33", "20010db880000000000000000000000021", "2001:db8:8000::/33"),
    (5, "domain", "Bücher.Example.", "786e2d2d62636865722d6b76612e6578616d706c65", "xn--bcher-kva.example"),
    (
        6,
        "url",
        "hxxp://me@EVIL[.]example:80/a/../b%2f%c3?q=ü#frag",
        "687474703a2f2f6d65406576696c2e6578616d706c652f6225324625433 33f713d254333254243",
        "http://me@evil.example/b%2F%C3?q=%C3%BC",
    ),
    (
        7,
        "email",
        "Some.One[at]Evil.Example",
        "736f6d652e6f6e65406576696c2e6578616d706c65",
        "some.one@evil.example",
    ),
    (
        8,
        "md5",
        "D41D8CD98F00B204E9800998ECF8427E",
        "d41d8cd98f00b204e9800998ecf8427e",
        "d41d8cd98f00b204e9800998ecf8427e",
    ),
    (
        9,
        "sha1",
        "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    ),
    (
        10,
        "sha256",
        "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    (
        11,
        "sha512",
        "CF83E1357EEFB8BDF1542850D66D8007D620E4050B5715DC83F4A921D36CE9CE47D0D13C5D85F2B0FF8318D2877EEC2F63B931BD47417A81A538327AF927DA3E",
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    ),
    (12, "filename", " Evil.EXE ", "4576696c2e455845", "Evil.EXE"),
    (13, "cve", "cve-2017-0199", "4356452d323031372d30313939", "CVE-2017-0199"),
    (14, "asn", "as64500", "0000fbf4", "AS64500"),
    (
        15,
        "crypto-address",
        "bitcoin:BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
        "626331717735303864367165 6a787464673479357233 7a617276617279306335787737 6b76386633743 4",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    ),
    (16, "phone", "0049 (30) 123-456", "2b343933303132333435 36", "+4930123456"),
    (17, "account", "X:@SomeOne", "747769747465723a736f6d656f6e65", "twitter:someone"),
    (18, "travel-document", "deu:p<:C01X-00T47", "443a503a433031583030543437", "D:P:C01X00T47"),
    (19, "mac", "00-00-5E-00-53-01", "00005e005301", "00:00:5e:00:53:01"),
    (20, "process", "fservernetd", "667365727665726e657464", "fservernetd"),
    (21, "app", "com.example.App", "636f6d2e6578616d706c652e417070", "com.example.App"),
    (22, "user-agent", "Mozilla/4.0 (x)", "4d6f7a696c6c612f342e3020287829", "Mozilla/4.0 (x)"),
    (
        23,
        "package",
        "npm:@Scope/Name@1.0",
        "706b673a6e706d2f25343073636f70652f6e616d6540312e30",
        "pkg:npm/%40scope/name@1.0",
    ),
    (
        24,
        "cert-sha1",
        "DA:39:A3:EE:5E:6B:4B:0D:32:55:BF:EF:95:60:18:90:AF:D8:07:09",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    ),
    (
        25,
        "cert-sha256",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    (26, "mutex", "Global\\BitStreamSvc", "476c6f62616c5c42697453747265616d537663", "Global\\BitStreamSvc"),
    (
        27,
        "regkey",
        "HKCU\\Software\\Run\\",
        "686b65795f63757272656e745f757365725c736f6674776172655c72756e",
        "hkey_current_user\\software\\run",
    ),
];

#[test]
fn golden_types_never_change() {
    for row in TYPES {
        assert!(
            GOLDEN.iter().any(|(id, ..)| *id == row.id),
            "the type `{name}` has no golden line; add one with a text that is not in its canonical form:\n\
             ({id}, \"{name}\", \"TEXT\", \"\", \"\"),\nand this test tells the rest of it",
            id = row.id,
            name = row.name,
        );
    }
    for (place, line) in GOLDEN.iter().enumerate() {
        let (id, name, text, bytes, shown) = line;
        let row = TYPES.get(place).unwrap_or_else(|| panic!("the type of {line:?} is gone"));
        assert_eq!((row.id, row.name), (*id, *name), "the number or name of a type has changed");
        let found = Observable::parse(name, text).unwrap();
        assert_eq!(found.kind, *id, "{name}");
        let (bytes, made) = (bytes.replace(' ', ""), hash::hex(&found.value));
        assert!(
            (&*bytes, *shown) == (&*made, &*found.show()),
            "`{name}` is not as its line says; if the type is new, its line is\n{:?},",
            (id, name, text, made, found.show()),
        );
        assert!(found.is_canonical(), "{name}");
        assert_eq!(Observable::parse(name, shown).unwrap(), found);
        assert_eq!(Type::by_id(*id).unwrap().name, *name);
    }
}

/// Types whose golden value is by itself taken for another type, and why.
const DETECTED_OTHERWISE: &[(&str, &str)] = &[
    // A fingerprint looks like any other hash of its length, and files are what hashes are mostly of.
    ("cert-sha1", "sha1"),
    ("cert-sha256", "sha256"),
    // The name of an app is a domain backwards, and `.app` is an ending that domains have.
    ("app", "domain"),
];

#[test]
fn a_golden_value_is_detected_as_its_own_type_or_not_at_all() {
    for (_, name, _, _, shown) in GOLDEN {
        let otherwise = DETECTED_OTHERWISE.iter().find(|(other, _)| other == name).map(|(_, taken)| *taken);
        match (detect(shown).map(|found| found.observable), otherwise) {
            (Ok(found), Some(taken)) => assert_eq!(found.type_name(), taken, "{shown}"),
            (Ok(found), None) => assert_eq!(found, Observable::parse(name, shown).unwrap(), "{shown}"),
            (Err(_), None) => {}
            (Err(error), Some(taken)) => panic!("`{shown}` is no longer taken for a {taken}: {error}"),
        }
    }
}
