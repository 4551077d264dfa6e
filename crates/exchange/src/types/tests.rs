//! What types are called, and what is no type.

use super::*;

#[test]
fn types_by_the_words_of_real_files() {
    use Named::{Certificate, File, Hash, Misp, Own, Package};
    let mut wrong = Vec::new();
    for (named, texts) in [
        (
            Misp("domain"),
            &[
                "domain",
                "Domain name",
                "domain_name",
                "Domain-Name",
                "DomainName",
                "FQDN",
                "Intel::DOMAIN",
                "host",
                "mal_domain",
                "C2 domains",
                "domains",
            ][..],
        ),
        (Misp("hostname"), &["hostname", "hostnames"]),
        (
            Misp("ip-dst"),
            &[
                "IP address",
                "IPv4 Address",
                "ipv4",
                "IPv6",
                "ip:port",
                "IpAddress",
                "IPv4-Addr",
                "Intel::ADDR",
                "Intel::SUBNET",
                "CIDR",
                "ips",
                "c2_ip",
                "IP addresses",
                "ip-dst",
                "Destination IP",
                "IP_Range",
            ],
        ),
        (
            Misp("sha256"),
            &[
                "SHA256",
                "SHA-256",
                "SILKLOADER_SHA256",
                "file_sha256",
                "FileHash-SHA256",
                "FileSha256",
                "sha256_hash",
                "hash_sha256",
                "File SHA-256",
            ],
        ),
        (Misp("md5"), &["md5", "MD5 hash", "FileHash-MD5", "mal_md5", "md5 checksum"]),
        (Misp("url"), &["url", "URI", "URLs", "Intel::URL", "phish_url", "C2 URL"]),
        (
            Misp("email"),
            &["Email", "e-mail", "mail", "Intel::EMAIL", "email_address", "EmailAddress", "Email-Addr"],
        ),
        (
            Misp("filename"),
            &["filename", "File name", "FileName", "Intel::FILE_NAME", "file_path", "FilePath"],
        ),
        (Misp("ip-dst|port"), &["ip-dst|port", "IP-DST|PORT"]),
        (Misp("filename|sha256"), &["filename|sha256"]),
        (Own("cert-sha1"), &["cert_sha1", "cert-sha1", "thumbprint", "SSL certificate SHA1"]),
        (Misp("x509-fingerprint-sha1"), &["x509-fingerprint-sha1"]),
        (Own("cert-sha256"), &["Certificate SHA-256"]),
        (
            Certificate,
            &["Intel::CERT_HASH", "Certificate Thumbprint", "SSLCertFingerprint", "cert_thumbprint"],
        ),
        (
            Own("crypto-address"),
            &["BitcoinAddress", "wallet address", "Cryptocurrency-Wallet", "bitcoin", "crypto address"],
        ),
        (Own("mac"), &["mac", "Mac-Addr"]),
        (Misp("mac-address"), &["MAC address"]),
        (Misp("mutex"), &["Mutex", "mutex name"]),
        (Own("cve"), &["CVE"]),
        (Misp("AS"), &["AS", "as"]),
        (Own("process"), &["process"]),
        (Own("app"), &["app"]),
        (Own("account"), &["account"]),
        (Own("travel-document"), &["travel-document", "Travel Document"]),
        (Package("npm"), &["npm package"]),
        (Package("docker"), &["docker image"]),
        (Hash, &["File hash", "hash", "Hashes", "FileHash", "Intel::FILE_HASH", "file hashes"]),
        (File, &["file", "StixFile"]),
    ] {
        for text in texts {
            if said(text) != Said::Type(named) {
                wrong.push(format!("{text}: {:?}, not {named:?}", said(text)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_type_is_never_guessed() {
    for text in [
        "ja3",
        "JA3S",
        "ja3-fingerprint-md5",
        "ja3_hash",
        "JA4",
        "ja4h fingerprint",
        "jarm",
        "jarm-fingerprint",
        "hassh-md5",
        "hasshserver-md5",
        "imphash",
        "FileHash-IMPHASH",
        "FileHash-PEHASH",
        "pehash",
        "authentihash",
        "cdhash",
        "ssdeep",
        "tlsh",
        "vhash",
        "rich header hash",
        "impfuzzy",
        "sha224",
        "sha384",
        "sha3-256",
        "SHA3_384_hash",
        "sha512/256",
        "section md5",
        "icon hash",
        "favicon-mmh3",
        "x509-fingerprint-md5",
        "cert md5",
        "git-commit-id",
        "ssh fingerprint",
        "pgp-public-key",
        "NTLM hash",
        "url-regex",
        "domain pattern",
        "yara",
        "victim-domain",
        "victim ip",
        "target-email",
        "source",
        "reference",
        "reference url",
        "Report link",
        "link",
        "nameserver",
        "Name server IP nameserver",
        "registrar",
        "email-subject",
        "email subject",
        "email-body",
        "uri_path",
        "Command line",
        "MSI package",
        "software",
        "file size",
        "pdb",
        "port",
        "street address",
        "dns-txt",
        "foo",
        "Intel::PUBKEY_HASH",
    ] {
        assert_eq!(said(text), Said::Unknown, "{text}");
    }
    for text in [
        "whitelist",
        "Whitelisted",
        "allow",
        "legitimate",
        "false positive",
        "benign",
        "sinkhole",
        "Microsoft sinkhole",
        "not malicious",
    ] {
        assert_eq!(said(text), Said::Good, "{text}");
    }
    for text in ["phishing", "C2", "malware", "ransomware"] {
        assert_eq!(said(text), Said::Kind, "{text}");
    }
    for text in ["", "-", "n/a", "unknown", "None", "IOC"] {
        assert_eq!(said(text), Said::Nothing, "{text}");
    }
    assert!(
        !is_good("not a sinkhole")
            && !is_good("abused legitimate service")
            && !is_good("C2 behind a good name")
    );
}

#[test]
fn what_is_said_to_be_is_read_as_such() {
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let both = format!("{sha1}, {md5}");
    for (named, value, shown) in [
        (Named::File, "evil.exe", "filename evil.exe".to_owned()),
        (Named::File, md5, format!("md5 {md5}")),
        (Named::File, &both, format!("sha1 {sha1},md5 {md5}")),
        (Named::Hash, &both, format!("sha1 {sha1},md5 {md5}")),
        (Named::Misp("sha1"), &both, format!("sha1 {sha1},md5 {md5}")),
        (Named::Certificate, sha1, format!("cert-sha1 {sha1}")),
        (Named::Certificate, md5, "refused".to_owned()),
        (Named::Misp("domain|ip"), "a.example|192.0.2.7", "domain a.example,ipv4 192.0.2.7".to_owned()),
    ] {
        let found = named.read(value);
        let found = found.map_or("refused".to_owned(), |found| {
            let all = found.iter().map(|value| format!("{} {}", value.type_name(), value.show()));
            all.collect::<Vec<_>>().join(",")
        });
        assert_eq!(found, shown, "{named:?} {value}");
    }
}

#[test]
fn a_type_of_the_table_is_no_word_of_what_is_none() {
    let mut wrong = Vec::new();
    for row in observable::TYPES {
        // Among other words it must not make of them what is none.
        if is_no_value(&normal(row.name)) {
            wrong.push(format!("a word of `{}` stands in NO_VALUES", row.name));
        }
        // A package is one of an ecosystem, which `package` alone does not tell.
        let own = (row.id != kind::PACKAGE).then_some(&row.name);
        for name in row.misp.iter().chain(own).filter(|name| !matches!(said(name), Said::Type(_))) {
            wrong.push(format!("in a column of types `{name}` is {:?}", said(name)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
