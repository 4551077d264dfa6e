//! What a text is taken for where nobody says its type.

use super::*;

#[test]
fn detects_by_itself() {
    for (text, kind, shown, noted) in [
        ("192.0.2.7", "ipv4", "192.0.2.7", false),
        ("192[.]0[.]2[.]7:443", "ipv4", "192.0.2.7", true),
        ("[2001:db8::7]:443", "ipv6", "2001:db8::7", true),
        ("2001:db8::7", "ipv6", "2001:db8::7", false),
        ("192.0.2.0/24", "ipv4-net", "192.0.2.0/24", false),
        ("2001:db8::/32", "ipv6-net", "2001:db8::/32", false),
        ("evil[.]example", "domain", "evil.example", false),
        ("*.evil.com", "domain", "evil.com", true),
        (".evil.com", "domain", "evil.com", true),
        ("evil.com:8080", "domain", "evil.com", true),
        ("\"evil.co.uk\",", "domain", "evil.co.uk", false),
        ("evil.onion", "domain", "evil.onion", false),
        ("hxxps://evil[.]com/x", "url", "https://evil.com/x", false),
        ("evil.com/x", "url", "http://evil.com/x", true),
        ("192.0.2.7:8080/x", "url", "http://192.0.2.7:8080/x", true),
        ("someone@evil.com", "email", "someone@evil.com", false),
        ("someone[at]evil[.]com", "email", "someone@evil.com", false),
        ("d41d8cd98f00b204e9800998ecf8427e", "md5", "d41d8cd98f00b204e9800998ecf8427e", false),
        ("cve-2021-44228", "cve", "CVE-2021-44228", false),
        ("AS64500", "asn", "AS64500", false),
        ("ASN64500", "asn", "AS64500", false),
        ("+49 30 123456", "phone", "+4930123456", false),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "crypto-address", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", false),
        (
            "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",
            "crypto-address",
            "qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",
            false,
        ),
        (
            "0xde0B295669a9FD93d5F28D9Ec85E40f4cb697BAe",
            "crypto-address",
            "0xde0b295669a9fd93d5f28d9ec85e40f4cb697bae",
            false,
        ),
        ("rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh", "crypto-address", "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh", false),
        ("00:00:5e:00:53:01", "mac", "00:00:5e:00:53:01", false),
        ("evil.exe", "filename", "evil.exe", false),
        ("HKLM\\Software\\X", "regkey", "hkey_local_machine\\software\\x", false),
        ("pkg:npm/left-pad@1.3.0", "package", "pkg:npm/left-pad@1.3.0", false),
    ] {
        let found = detect(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((found.observable.type_name(), &*found.observable.show()), (kind, shown), "{text}");
        assert_eq!(found.note.is_some(), noted, "{text}: {:?}", found.note);
    }
}

#[test]
fn a_text_can_be_of_other_types_too() {
    let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (text, types) in [
        (sha1, &["cert-sha1"][..]),
        (sha256, &["cert-sha256"]),
        ("evil.exe", &["app", "mutex", "process"]),
        ("com.example.app", &["app", "filename", "mutex", "process"]),
        ("192.0.2.7", &[]),
        ("http://a.example/", &[]),
        ("me@a.example", &[]),
        ("d41d8cd98f00b204e9800998ecf8427e", &[]),
    ] {
        let found = detect(text).unwrap().observable;
        let mut others: Vec<&str> = also(text, Some(&found)).iter().map(Observable::type_name).collect();
        others.sort_unstable();
        assert_eq!(others, types, "{text}");
    }
    // Each type that takes a text is among what is asked for where no type is told by it.
    for (text, name) in [
        ("brstaged", "process"),
        ("Global\\x", "mutex"),
        ("00005e00530a", "mac"),
        ("telegram:someone", "account"),
        ("evil.corp", "domain"),
        ("Mozilla/4.0 (x)", "user-agent"),
        ("npm:left-pad", "package"),
        ("UTO:P:L898902C3", "travel-document"),
        ("software\\x", "regkey"),
        ("64500", "asn"),
    ] {
        let all = also(text, detect(text).map(|found| found.observable).ok().as_ref());
        assert!(all.contains(&Observable::parse(name, text).unwrap()), "{text}: {all:?}");
    }
}

#[test]
fn detects_nothing_in_the_rest() {
    for text in [
        "",
        "evil",
        "and/or",
        "1.2.3",
        "1.2.3.4.5",
        "/gate.php",
        "hello world",
        "010.0.0.1",
        "12:30",
        "a@b",
        "v1.2.x",
        "evil.notatld",
        "123456789012",
        "00005e00530a",
        "00:00-5e:00:53:01",
        "\u{1b}[31m",
        "[",
        "://",
        "http://",
        "foo:99999999",
        "@",
        "AS",
        "+",
    ] {
        assert!(detect(text).is_err(), "{text}: {:?}", detect(text));
    }
}

#[test]
fn two_values_in_one_are_said_to_be_two() {
    for text in ["wsaudio.com|178.20.157.189", "no value|evil.example"] {
        let error = detect(text).expect_err(text).to_string();
        assert!(error.contains("two values"), "{text}: {error}");
    }
    for text in ["a|b|evil.example", "neither|nor"] {
        let error = detect(text).expect_err(text).to_string();
        assert!(!error.contains("two values"), "{text}: {error}");
    }
    // A port is no value of its own.
    assert_eq!(detect("176.9.47.34|28739").unwrap().observable.type_name(), "ipv4");
}

#[test]
fn what_is_nearly_a_network_is_no_url() {
    for (text, why) in [
        ("1.1.1.1/99", "prefix length"),
        ("1.1.1[.]1/033", "prefix length"),
        ("2001:db8::/129", "prefix length"),
        ("[2001:db8::]/129", "prefix length"),
        ("300.1.1.1", "0 to 255"),
        ("300.1.1.1/8", "0 to 255"),
        ("1.1.1.01", "0 to 255"),
    ] {
        let error = detect(text).expect_err(text).to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    for (text, kind) in
        [("1.1.1.1/32", "ipv4"), ("1.1.1.1/99/x", "url"), ("1.1.1.1/2024", "url"), ("1.1.1.0/24", "ipv4-net")]
    {
        assert_eq!(detect(text).expect(text).observable.type_name(), kind, "{text}");
    }
}
