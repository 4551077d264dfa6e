//! The table of observable types. Append a row for a new one; ids, names and canonical forms never change,
//! since they stand in signed records.

use super::{Personal, Type, breadth, detect, hash, identity, name, net, package, text, url, wallet};

/// The numbers of the types, as they stand in bodies.
pub mod kind {
    #![expect(missing_docs, reason = "each is the row of TYPES with this name")]
    pub const IPV4: u16 = 1;
    pub const IPV6: u16 = 2;
    pub const IPV4_NET: u16 = 3;
    pub const IPV6_NET: u16 = 4;
    pub const DOMAIN: u16 = 5;
    pub const URL: u16 = 6;
    pub const EMAIL: u16 = 7;
    pub const MD5: u16 = 8;
    pub const SHA1: u16 = 9;
    pub const SHA256: u16 = 10;
    pub const SHA512: u16 = 11;
    pub const FILENAME: u16 = 12;
    pub const CVE: u16 = 13;
    pub const ASN: u16 = 14;
    pub const CRYPTO_ADDRESS: u16 = 15;
    pub const PHONE: u16 = 16;
    pub const ACCOUNT: u16 = 17;
    pub const TRAVEL_DOCUMENT: u16 = 18;
    pub const MAC: u16 = 19;
    pub const PROCESS: u16 = 20;
    pub const APP: u16 = 21;
    pub const USER_AGENT: u16 = 22;
    pub const PACKAGE: u16 = 23;
    pub const CERT_SHA1: u16 = 24;
    pub const CERT_SHA256: u16 = 25;
    pub const MUTEX: u16 = 26;
    pub const REGKEY: u16 = 27;
}

/// What most rows have; each row below says what it has otherwise. Its id is no type's.
const PLAIN: Type = Type {
    id: 0,
    name: "",
    personal: Personal::No,
    stix: &[],
    misp: &[],
    parse: |_| Err("this type has no parser"),
    begins: &[],
    sure: |_| false,
    show: text::show,
    check: text::check,
    breadth: breadth::fine,
    parents: breadth::no_parents,
};

/// Paths under which patterns and observed data point to a host of any type.
macro_rules! host_paths {
    ($($own:literal),*) => {
        &[$($own,)* "network-traffic:dst_ref.value", "network-traffic:src_ref.value", "domain-name:resolves_to_refs[*].value"]
    };
}

/// All observable types, in order of their ids.
pub static TYPES: &[Type] = &[
    Type {
        id: kind::IPV4,
        name: "ipv4",
        personal: Personal::Possible,
        stix: host_paths!("ipv4-addr:value"),
        misp: &["ip-dst", "ip-src", "ip"],
        parse: net::parse_v4,
        show: net::show_ip,
        check: net::check_v4,
        ..PLAIN
    },
    Type {
        id: kind::IPV6,
        name: "ipv6",
        personal: Personal::Possible,
        stix: host_paths!("ipv6-addr:value"),
        misp: &["ip-dst", "ip-src", "ip"],
        parse: net::parse_v6,
        show: net::show_ip,
        check: net::check_v6,
        ..PLAIN
    },
    Type {
        id: kind::IPV4_NET,
        name: "ipv4-net",
        stix: host_paths!("ipv4-addr:value"),
        misp: &["ip-dst", "ip-src", "ip"],
        parse: net::parse_v4_net,
        show: net::show_net,
        check: net::check_v4_net,
        breadth: breadth::of_v4_net,
        ..PLAIN
    },
    Type {
        id: kind::IPV6_NET,
        name: "ipv6-net",
        stix: host_paths!("ipv6-addr:value"),
        misp: &["ip-dst", "ip-src", "ip"],
        parse: net::parse_v6_net,
        show: net::show_net,
        check: net::check_v6_net,
        breadth: breadth::of_v6_net,
        ..PLAIN
    },
    Type {
        id: kind::DOMAIN,
        name: "domain",
        // OpenCTI has hosts in objects of its own, and its older versions domains.
        stix: host_paths!(
            "domain-name:value",
            "domain-name:x_misp_hostname",
            "hostname:value",
            "x-opencti-hostname:value",
            "domain:value"
        ),
        misp: &["domain", "hostname"],
        parse: name::parse_domain,
        check: name::check_domain,
        breadth: breadth::of_domain,
        parents: breadth::parent_names,
        ..PLAIN
    },
    Type {
        id: kind::URL,
        name: "url",
        personal: Personal::Possible,
        stix: &["url:value"],
        misp: &["url"],
        parse: url::parse,
        check: url::check,
        parents: url::parents,
        ..PLAIN
    },
    Type {
        id: kind::EMAIL,
        name: "email",
        personal: Personal::Yes,
        stix: &[
            "email-addr:value",
            "email-message:from_ref.value",
            "email-message:sender_ref.value",
            "email-message:to_refs[*].value",
            "email-message:cc_refs[*].value",
            "email-message:bcc_refs[*].value",
            "email-message:additional_header_fields.reply_to",
            "email-message:additional_header_fields.Reply-To",
            "email-message:additional_header_fields.Reply-To[*]",
        ],
        misp: &[
            "email",
            "email-src",
            "email-dst",
            "email-reply-to",
            "dns-soa-email",
            "whois-registrant-email",
        ],
        parse: name::parse_email,
        begins: &["mailto:"],
        check: name::check_email,
        parents: breadth::parents_of_email,
        ..PLAIN
    },
    Type {
        id: kind::MD5,
        name: "md5",
        stix: &["file:hashes.MD5", "artifact:hashes.MD5", "file:content_ref.hashes.MD5"],
        misp: &["md5"],
        parse: hash::parse_md5,
        sure: |text| hash::is_hex(text, 32),
        show: hash::hex,
        check: hash::check_length::<16>,
        ..PLAIN
    },
    Type {
        id: kind::SHA1,
        name: "sha1",
        stix: &["file:hashes.'SHA-1'", "artifact:hashes.'SHA-1'", "file:content_ref.hashes.'SHA-1'"],
        misp: &["sha1"],
        parse: hash::parse_sha1,
        sure: |text| hash::is_hex(text, 40),
        show: hash::hex,
        check: hash::check_length::<20>,
        ..PLAIN
    },
    Type {
        id: kind::SHA256,
        name: "sha256",
        stix: &["file:hashes.'SHA-256'", "artifact:hashes.'SHA-256'", "file:content_ref.hashes.'SHA-256'"],
        misp: &["sha256"],
        parse: hash::parse_sha256,
        sure: |text| hash::is_hex(text, 64),
        show: hash::hex,
        check: hash::check_length::<32>,
        ..PLAIN
    },
    Type {
        id: kind::SHA512,
        name: "sha512",
        stix: &["file:hashes.'SHA-512'", "artifact:hashes.'SHA-512'", "file:content_ref.hashes.'SHA-512'"],
        misp: &["sha512"],
        parse: hash::parse_sha512,
        sure: |text| hash::is_hex(text, 128),
        show: hash::hex,
        check: hash::check_length::<64>,
        ..PLAIN
    },
    Type {
        id: kind::FILENAME,
        name: "filename",
        personal: Personal::Possible,
        stix: &["file:name", "file:content_ref.x_misp_filename"],
        misp: &["filename", "attachment"],
        parse: text::parse_filename,
        sure: detect::is_file_name,
        ..PLAIN
    },
    Type {
        id: kind::CVE,
        name: "cve",
        // A vulnerability is no observable in STIX: patterns cannot name it.
        misp: &["vulnerability"],
        parse: text::parse_cve,
        begins: &["CVE-"],
        check: text::check_cve,
        ..PLAIN
    },
    Type {
        id: kind::ASN,
        name: "asn",
        stix: &["autonomous-system:number"],
        misp: &["AS"],
        parse: net::parse_asn,
        sure: net::is_asn,
        show: net::show_asn,
        check: hash::check_length::<4>,
        ..PLAIN
    },
    Type {
        id: kind::CRYPTO_ADDRESS,
        name: "crypto-address",
        personal: Personal::Possible,
        stix: &["cryptocurrency-wallet:value", "cryptocurrency-wallet:address"],
        misp: &["btc", "xmr", "dash"],
        parse: wallet::parse,
        sure: wallet::is_sure,
        check: wallet::check,
        ..PLAIN
    },
    Type {
        id: kind::PHONE,
        name: "phone",
        personal: Personal::Yes,
        stix: &["phone-number:value"],
        misp: &["phone-number", "whois-registrant-phone"],
        parse: identity::parse_phone,
        begins: &["tel:", "+"],
        check: identity::check_phone,
        ..PLAIN
    },
    Type {
        id: kind::ACCOUNT,
        name: "account",
        personal: Personal::Yes,
        // The platform stands beside it in account_type: `account` puts the two together.
        stix: &["user-account:account_login", "user-account:user_id"],
        // These name the platform, which `from_misp` puts before the handle.
        misp: &["twitter-id", "github-username", "jabber-id"],
        parse: identity::parse_account,
        check: identity::check_account,
        ..PLAIN
    },
    Type {
        id: kind::TRAVEL_DOCUMENT,
        name: "travel-document",
        personal: Personal::Yes,
        parse: identity::parse_travel_document,
        check: identity::check_travel_document,
        ..PLAIN
    },
    Type {
        id: kind::MAC,
        name: "mac",
        personal: Personal::Possible,
        stix: &["mac-addr:value"],
        misp: &["mac-address"],
        parse: net::parse_mac,
        sure: net::is_mac,
        show: net::show_mac,
        check: net::check_mac,
        ..PLAIN
    },
    Type {
        id: kind::PROCESS,
        name: "process",
        stix: &["process:name", "process:image_ref.name"],
        misp: &["process-name"],
        parse: text::parse_process,
        ..PLAIN
    },
    Type {
        id: kind::APP,
        name: "app",
        stix: &["app:id"],
        misp: &["mobile-application-id"],
        parse: text::parse_app,
        ..PLAIN
    },
    Type {
        id: kind::USER_AGENT,
        name: "user-agent",
        stix: &[
            "network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'",
            "user-agent:string",
            "user-agent:value",
        ],
        misp: &["user-agent"],
        parse: text::parse_user_agent,
        ..PLAIN
    },
    Type {
        id: kind::PACKAGE,
        name: "package",
        misp: &["purl"],
        parse: package::parse,
        begins: &["pkg:"],
        check: package::check,
        parents: package::parents,
        ..PLAIN
    },
    Type {
        id: kind::CERT_SHA1,
        name: "cert-sha1",
        stix: &["x509-certificate:hashes.'SHA-1'", "app:cert.sha1"],
        misp: &["x509-fingerprint-sha1"],
        parse: hash::parse_cert_sha1,
        show: hash::hex,
        check: hash::check_length::<20>,
        ..PLAIN
    },
    Type {
        id: kind::CERT_SHA256,
        name: "cert-sha256",
        stix: &["x509-certificate:hashes.'SHA-256'", "app:cert.sha256"],
        misp: &["x509-fingerprint-sha256"],
        parse: hash::parse_cert_sha256,
        show: hash::hex,
        check: hash::check_length::<32>,
        ..PLAIN
    },
    Type {
        id: kind::MUTEX,
        name: "mutex",
        stix: &["mutex:name"],
        misp: &["mutex"],
        parse: text::parse_mutex,
        ..PLAIN
    },
    Type {
        id: kind::REGKEY,
        name: "regkey",
        personal: Personal::Possible,
        stix: &["windows-registry-key:key"],
        misp: &["regkey"],
        parse: text::parse_regkey,
        begins: &["HKEY_", "HKLM\\", "HKCU\\", "HKCR\\", "HKU\\", "HKCC\\"],
        check: text::check_regkey,
        ..PLAIN
    },
];
