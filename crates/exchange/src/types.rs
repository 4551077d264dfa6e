//! What sources call the types of values: words of headers and of cells, and what is read of a value that is said to be of
//! such a type.
//!
//! A type that is stated is believed. A word that names what no observable type holds (a fingerprint of TLS, a fuzzy hash, a
//! regular expression, whom it was aimed at) makes no value, however much the text beside it looks like one.

use tocsin_record::observable::{self, Observable, Type, detect_all, kind, several};

use crate::fault::Fault;
use crate::names;

/// Longest text that is looked at for a type, in bytes: longer ones are sentences.
const WORD_MAX: usize = 80;

/// What CSV files call the types of values, in lower case with `_`, and the MISP type or type of the observable
/// table that is meant. What the two tables themselves call a type is not repeated.
const TYPE_WORDS: &[(&str, &str)] = &[
    ("ip", "ip-dst"),
    ("ip_address", "ip-dst"),
    ("ipaddress", "ip-dst"),
    ("ip_port", "ip-dst"),
    ("ipport", "ip-dst"),
    ("ip_range", "ip-dst"),
    ("iprange", "ip-dst"),
    ("address", "ip-dst"),
    ("addr", "ip-dst"),
    ("ipv4_addr", "ip-dst"),
    ("ipv6_addr", "ip-dst"),
    ("ipv4_cidr", "ip-dst"),
    ("ipv6_cidr", "ip-dst"),
    ("cidr", "ip-dst"),
    ("netblock", "ip-dst"),
    ("net", "ip-dst"),
    ("network", "ip-dst"),
    ("subnet", "ip-dst"),
    ("domain_name", "domain"),
    ("domainname", "domain"),
    ("domain_port", "domain"),
    ("host", "domain"),
    ("host_name", "domain"),
    ("fqdn", "domain"),
    ("uri", "url"),
    ("mail", "email"),
    ("email_addr", "email"),
    ("email_address", "email"),
    ("emailaddress", "email"),
    ("e_mail", "email"),
    ("sender", "email"),
    ("file_name", "filename"),
    ("filepath", "filename"),
    ("file_path", "filename"),
    ("thumbprint", "cert-sha1"),
    ("vulnerability", "cve"),
    ("autonomous_system", "asn"),
    ("as_number", "asn"),
    ("wallet", "crypto-address"),
    ("bitcoin", "crypto-address"),
    ("ethereum", "crypto-address"),
    ("monero", "crypto-address"),
    ("cryptocurrency", "crypto-address"),
    ("cryptocurrency_wallet", "crypto-address"),
    ("telephone", "phone"),
    ("phonenumber", "phone"),
    ("mac_addr", "mac"),
    ("useragent", "user-agent"),
    ("registry_key", "regkey"),
    ("registrykey", "regkey"),
    ("windows_registry_key", "regkey"),
    ("process_name", "process"),
    ("mutex_name", "mutex"),
    ("mutexname", "mutex"),
];

/// Words that name what is no value here: whatever else the text says, nothing is guessed of what stands beside it.
const NO_VALUES: &[&str] = &[
    // Fingerprints of TLS, SSH and HTTP, and of what a program is made of.
    "ja3",
    "ja3s",
    "ja4",
    "ja4s",
    "ja4h",
    "ja4x",
    "ja4t",
    "ja4ts",
    "ja4l",
    "ja4ssh",
    "jarm",
    "hassh",
    "hasshserver",
    "imphash",
    "impfuzzy",
    "gimphash",
    "pehash",
    "authentihash",
    "authenticode",
    "cdhash",
    "ssdeep",
    "tlsh",
    "sdhash",
    "vhash",
    "telfhash",
    "richhash",
    "richpe",
    "rich",
    "phash",
    "dhash",
    "ahash",
    "whash",
    "mmh3",
    "murmur",
    "murmur3",
    "murmurhash",
    "crc32",
    "adler32",
    "ntlm",
    "nthash",
    "lmhash",
    "spki",
    "pubkey",
    "fuzzy",
    "section",
    "icon",
    "favicon",
    "password",
    // Other identifiers.
    "serial",
    "pgp",
    "gpg",
    "ssh",
    "commit",
    "git",
    "uuid",
    "guid",
    "pdb",
    "subject",
    "body",
    // Rules, and patterns of values.
    "regex",
    "regexp",
    "pattern",
    "yara",
    "sigma",
    "snort",
    "suricata",
    "wildcard",
    // Who it was aimed at, and who told of it.
    "victim",
    "target",
    "targeted",
    "reference",
    "references",
    "referer",
    "referrer",
    "report",
    "blog",
    "advisory",
    "permalink",
    "nameserver",
    "nameservers",
    "registrar",
    "registrant",
    "abuse",
    "street",
    "postal",
    "physical",
];

/// The same, where they are all that is said.
const NO_VALUES_ALONE: &[&str] =
    &["source", "link", "links", "ref", "refs", "ns", "id", "hash_type", "path", "command", "other"];

/// Words that say of a value that nothing is wrong with it.
const GOOD: &[&str] = &[
    "whitelist",
    "whitelisted",
    "white_list",
    "allow",
    "allowed",
    "allowlist",
    "allowlisted",
    "allow_list",
    "benign",
    "legitimate",
    "legit",
    "clean",
    "good",
    "goodware",
    "known_good",
    "harmless",
    "safe",
    "trusted",
    "false_positive",
    "falsepositive",
    "fp",
    "not_malicious",
    "non_malicious",
    "nonmalicious",
    "no_threat",
    "ham",
    "sinkhole",
    "sinkholed",
];

/// Words behind a type that say no more than it.
const DECORATION: &[&str] = &[
    "hash",
    "value",
    "address",
    "addr",
    "fingerprint",
    "indicator",
    "ioc",
    "checksum",
    "digest",
    "sum",
    "observable",
    "string",
    "list",
    "name",
];

/// Words that make of a hash one of a certificate.
const CERTIFICATE: &[&str] =
    &["cert", "sslcert", "certificate", "x509", "ssl", "tls", "signer", "thumbprint"];

/// MISP's composite types, which hold a value and more.
const COMPOSITES: &[&str] = &[
    "domain|ip",
    "hostname|port",
    "ip-dst|port",
    "ip-src|port",
    "regkey|value",
    "malware-sample",
    "filename|md5",
    "filename|sha1",
    "filename|sha224",
    "filename|sha256",
    "filename|sha384",
    "filename|sha512",
    "filename|sha512/224",
    "filename|sha512/256",
    "filename|authentihash",
    "filename|impfuzzy",
    "filename|imphash",
    "filename|pehash",
    "filename|ssdeep",
    "filename|tlsh",
    "filename|vhash",
];

/// What purl calls the ecosystems that lists of packages name.
const ECOSYSTEMS: &[(&str, &str)] = &[
    ("npm", "npm"),
    ("pypi", "pypi"),
    ("rubygems", "gem"),
    ("gem", "gem"),
    ("cargo", "cargo"),
    ("crates", "cargo"),
    ("maven", "maven"),
    ("nuget", "nuget"),
    ("golang", "golang"),
    ("go", "golang"),
    ("docker", "docker"),
    ("github", "github"),
    ("openvsx", "openvsx"),
];

/// The type of values that a CSV's type cell or header means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A MISP attribute type; several observable types may fit, and a composite has several parts.
    Misp(&'static str),
    /// An observable type of the table, by its name.
    Own(&'static str),
    /// A package of an ecosystem, such as `npm`.
    Package(&'static str),
    /// Some hash of a file: its length tells which.
    Hash,
    /// Some fingerprint of a certificate: its length tells which.
    Certificate,
    /// A file, by its name or by its hashes.
    File,
}

/// What a type cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing: the value tells its type.
    Nothing,
    /// A type of values.
    Type(Named),
    /// What the value indicates, such as `phishing`: the value tells its type.
    Kind,
    /// That nothing is wrong with the value.
    Good,
    /// Something that is no observable type.
    Unknown,
}

/// What a cell of a column of types says.
pub(crate) fn said(cell: &str) -> Said {
    let name = normal(cell);
    if matches!(
        &*name,
        "" | "n_a"
            | "na"
            | "none"
            | "null"
            | "unknown"
            | "any"
            | "ioc"
            | "indicator"
            | "observable"
            | "value"
            // A key of Windows' registry, or a registry of packages.
            | "registry"
    ) {
        Said::Nothing
    } else if is_good(cell) {
        Said::Good
    } else if let Some(named) = type_named(cell).or_else(|| own_name(&name)) {
        Said::Type(named)
    } else if !is_no_value(&name) && names::kind_named(cell).is_some() {
        Said::Kind
    } else {
        Said::Unknown
    }
}

/// The type whose name a cell is. Of a header `process`, `app` and `as` may be anything; of a type they are types.
fn own_name(name: &str) -> Option<Named> {
    let name = name.replace('_', "-");
    let own = Type::by_name(&name).filter(|row| row.id != kind::PACKAGE).map(|row| Named::Own(row.name));
    // MISP writes one in capitals: `AS`.
    let misp =
        || observable::TYPES.iter().flat_map(|row| row.misp).find(|misp| misp.eq_ignore_ascii_case(&name));
    own.or_else(|| misp().map(|misp| Named::Misp(misp)))
}

/// Whether a whole text says that nothing is wrong with a value: `whitelisted`, `Microsoft sinkhole`.
pub(crate) fn is_good(text: &str) -> bool {
    /// More is a sentence, which may say anything.
    const WORDS_MAX: usize = 6;
    if text.len() > WORD_MAX {
        return false;
    }
    let name = normal(text);
    let words = || name.split('_');
    let denied = words().any(|word| matches!(word, "not" | "no" | "former" | "was"));
    GOOD.contains(&&*name)
        || !denied
            && words().count() <= WORDS_MAX
            && words().any(|word| matches!(word, "sinkhole" | "sinkholed"))
}

/// A text in lower case, with `_` for all that is no letter or digit, and between the words of `FileSha256`.
pub(crate) fn normal(text: &str) -> String {
    let mut name = String::new();
    let mut before = ' ';
    for c in text.trim().chars().take(WORD_MAX) {
        if !c.is_alphanumeric() {
            if !(name.is_empty() || name.ends_with('_')) {
                name.push('_');
            }
        } else {
            if before.is_lowercase() && c.is_uppercase() {
                name.push('_');
            }
            name.extend(c.to_lowercase());
        }
        before = c;
    }
    let name = name.trim_end_matches('_');
    ["sha_1", "sha_256", "sha_512", "md_5", "ja_3", "ja_4"].iter().fold(name.to_owned(), |name, cut| {
        match name.find(cut) {
            // Not in `sha_1024`.
            Some(at) if !name[at + cut.len()..].starts_with(|c: char| c.is_ascii_digit()) => {
                name.replace(cut, &cut.replace('_', ""))
            }
            _ => name,
        }
    })
}

fn is_no_value(name: &str) -> bool {
    NO_VALUES_ALONE.contains(&name) || name.split('_').any(|word| NO_VALUES.contains(&word))
}

/// The type that a word of a header or type cell means, if any: as a whole, else by its last word that means one
/// (`SILKLOADER_SHA256`, `IPv4 Address`).
pub(crate) fn type_named(text: &str) -> Option<Named> {
    if text.len() > WORD_MAX {
        return None;
    }
    let exact = text.trim().to_ascii_lowercase();
    if let Some(composite) = COMPOSITES.iter().find(|composite| **composite == exact) {
        return Some(Named::Misp(composite));
    }
    let name = normal(text);
    if let Some(named) = word(&name) {
        return Some(named);
    }
    if is_no_value(&name) || name.contains("sha3") {
        return None;
    }
    let mut words: Vec<&str> = name.split('_').collect();
    if let [ecosystem, .., "package" | "image" | "action" | "extension" | "module" | "crate"] = words[..]
        && let Some((_, purl)) = ECOSYSTEMS.iter().find(|(word, _)| *word == ecosystem)
    {
        return Some(Named::Package(purl));
    }
    if words.iter().any(|word| CERTIFICATE.contains(word)) {
        return certificate(&words);
    }
    let plural = |text: &str| text.strip_suffix('s').or_else(|| text.strip_suffix("es")).and_then(word);
    // What stands last names it; the two last may be one name.
    loop {
        let two = words.len().checked_sub(2).map(|from| words[from..].join("_"));
        let last = words.last()?;
        let last = DECORATION
            .iter()
            .find(|word| last.strip_suffix("es").or(last.strip_suffix('s')) == Some(word))
            .unwrap_or(last);
        let named = word(last).or_else(|| plural(last));
        // `wallet address` is a wallet's and `sha256 hash` a SHA-256, although each last word means something.
        let before = words.len().checked_sub(2).and_then(|at| word(words[at]));
        let named = if DECORATION.contains(last) { before.or(named) } else { named };
        let named = two.as_deref().and_then(word).or(named);
        if named.is_some() || !DECORATION.contains(last) {
            return named;
        }
        words.pop();
    }
}

/// A fingerprint of a certificate, of those that the observable table has.
fn certificate(words: &[&str]) -> Option<Named> {
    let has = |wanted: &str| words.contains(&wanted);
    match () {
        () if has("md5") => None,
        () if has("sha1") => Some(Named::Own("cert-sha1")),
        () if has("sha256") => Some(Named::Own("cert-sha256")),
        () if has("hash") || has("fingerprint") || has("thumbprint") => Some(Named::Certificate),
        () => None,
    }
}

fn word(name: &str) -> Option<Named> {
    if matches!(name, "hash" | "hashes" | "file_hash" | "file_hashes" | "filehash") {
        return Some(Named::Hash);
    }
    if matches!(name, "file" | "stix_file" | "stixfile") {
        return Some(Named::File);
    }
    // `package` alone names no ecosystem, and `app` and `process` are words of other headers.
    if matches!(name, "" | "package" | "app" | "account" | "process" | "port") {
        return None;
    }
    let meant = TYPE_WORDS.iter().find(|(word, _)| *word == name).map(|(_, meant)| *meant);
    let meant = meant.map_or_else(|| name.replace('_', "-"), str::to_owned);
    // Of one name in both tables MISP's is meant: it takes what feeds really put there.
    let misp = |row: &'static Type| row.misp.iter().find(|name| **name == meant).copied();
    let own = |row: &'static Type| (row.name == meant).then_some(row.name);
    observable::TYPES.iter().find_map(|row| misp(row).map(Named::Misp)).or_else(|| match &*meant {
        "ipv4" | "ipv6" => Some(Named::Misp("ip-dst")),
        _ => observable::TYPES.iter().find_map(|row| own(row).map(Named::Own)),
    })
}

impl Named {
    /// The observables of a value that is said to be of this type; a text may hold several. A value that is none, but is
    /// clearly of another type, is taken as what it is.
    pub(crate) fn read(self, value: &str) -> Result<Vec<Observable>, Fault> {
        let own = |name: &str| {
            let one = |text: &str| Observable::parse(name, text).map(|one| vec![one]);
            one(value).or_else(|error| several(value, one).ok_or(error))
        };
        let hashes = || detect_all(value).ok().filter(|found| found.iter().all(is_file_hash));
        let typed = match self {
            Self::Misp(name) => observable::from_misp(name, value).map(|found| found.values),
            Self::Own(name) => own(name),
            Self::Package(ecosystem) => observable::package(ecosystem, value, "").map(|one| vec![one]),
            // Nothing else that looks like a hash is a certificate's.
            Self::Certificate => {
                return own("cert-sha1").or_else(|_| own("cert-sha256")).map_err(Fault::from);
            }
            Self::File => return hashes().map_or_else(|| own("filename"), Ok).map_err(Fault::from),
            Self::Hash => return detect_all(value).map_err(Fault::from),
        };
        typed.or_else(|error| detect_all(value).map_err(|_| error.into()))
    }

    /// The type that is said where the value is clearly of another; `None` if they agree.
    pub(crate) fn contradicted(self, found: &Observable) -> Option<&'static str> {
        let (said, agrees) = match self {
            Self::Misp(name) => (name, misp_agrees(name, found)),
            Self::Own(name) => (name, Type::by_name(name).is_none_or(|row| same_family(row.id, found.kind))),
            Self::Package(name) => (name, found.kind == kind::PACKAGE),
            Self::Hash => ("hash", is_file_hash(found)),
            Self::Certificate | Self::File => ("", true),
        };
        (!agrees).then_some(said)
    }

    /// Whether a value of this type is only a part of what was said, and says little alone: the name beside a hash.
    pub(crate) fn is_beside(self, found: &Observable) -> bool {
        matches!(self, Self::Misp(name) if name.contains('|') || name == "malware-sample")
            && found.kind == kind::FILENAME
    }
}

fn is_file_hash(found: &Observable) -> bool {
    Type::by_id(found.kind).is_some_and(Type::is_file_hash)
}

/// Whether a value is of a type that a MISP attribute type holds; composite types and those of accounts hold several.
pub(crate) fn misp_agrees(name: &str, found: &Observable) -> bool {
    let mut rows = Type::by_misp(name).peekable();
    name.contains('|') || rows.peek().is_none() || rows.any(|row| same_family(row.id, found.kind))
}

/// What is said of a value that is of another type than its source says.
pub(crate) fn other_type(said: &str, value: &Observable) -> String {
    format!("it is said to be `{said}` and is `{}`: it was imported as what it is", value.type_name())
}

/// Whether two types are one for what a source says: an address is a network of one.
pub(crate) fn same_family(said: u16, found: u16) -> bool {
    let family = |id| match id {
        kind::IPV4_NET => kind::IPV4,
        kind::IPV6_NET => kind::IPV6,
        id => id,
    };
    family(said) == family(found)
}

#[cfg(test)]
mod tests;
