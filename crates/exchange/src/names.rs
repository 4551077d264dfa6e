//! Names that sources use: kinds of indicators, types of values in CSV files, and one line of a text.

use tocsin_record::body::report::{INDICATOR_KINDS, Indicator, PATTERNS};
use tocsin_record::marking::Code;
use tocsin_record::observable::{self, Observable, Type, detect, kind};

use crate::fault::Fault;

/// Longest comment of an indicator, in bytes: enough for a line; originals keep the rest.
pub(crate) const COMMENT_MAX: usize = 300;

/// What is said of a line that is not read.
pub(crate) const NOT_TEXT: &str = "it is not UTF-8 text";
pub(crate) const LINE_TOO_LONG: &str = "the line has more than a MiB: break it up";

/// Other words for indicator kinds, in lower case, as tags of public feeds have them.
const KIND_WORDS: &[(&str, &str)] = &[
    ("c2", "command-and-control"),
    ("c&c", "command-and-control"),
    ("cnc", "command-and-control"),
    ("scam", "fraud"),
    ("cryptoscam", "fraud"),
    ("scan", "scanner"),
    ("ransomware", "malware"),
    ("stealer", "malware"),
    ("infostealer", "malware"),
    ("rat", "malware"),
    ("trojan", "malware"),
];

/// What CSV files call the types of values, in lower case with `_`, and the MISP type or type of the observable
/// table that is meant. What the two tables themselves call a type is not repeated.
const TYPE_WORDS: &[(&str, &str)] = &[
    ("ip", "ip-dst"),
    ("ips", "ip-dst"),
    ("ip_address", "ip-dst"),
    ("ipaddress", "ip-dst"),
    ("address", "ip-dst"),
    ("cidr", "ip-dst"),
    ("network", "ip-dst"),
    ("subnet", "ip-dst"),
    ("domains", "domain"),
    ("domain_name", "domain"),
    ("host", "domain"),
    ("fqdn", "domain"),
    ("uri", "url"),
    ("urls", "url"),
    ("mail", "email"),
    ("email_address", "email"),
    ("e_mail", "email"),
    ("file_name", "filename"),
    ("filepath", "filename"),
    ("file_path", "filename"),
    ("thumbprint", "cert-sha1"),
    ("cert_thumbprint", "cert-sha1"),
    ("certificate_thumbprint", "cert-sha1"),
    ("vulnerability", "cve"),
    ("wallet", "crypto-address"),
    ("bitcoin", "crypto-address"),
    ("telephone", "phone"),
    ("useragent", "user-agent"),
    ("registry_key", "regkey"),
    ("process_name", "process"),
];

/// Kind 0: nothing is said.
pub(crate) fn unknown_kind() -> Code {
    Code { kind: 0, value: Vec::new() }
}

/// A kind by its number in the table.
pub(crate) fn kind_numbered(number: u16) -> Code {
    Code { kind: number, value: Vec::new() }
}

/// The kind of a name or tag, if it is one.
pub(crate) fn kind_named(name: &str) -> Option<Code> {
    let name = name.trim().trim_start_matches('#').to_ascii_lowercase();
    let name = KIND_WORDS.iter().find(|(word, _)| *word == name).map_or(&*name, |(_, kind)| kind);
    INDICATOR_KINDS.iter().find(|(_, known)| *known == name).map(|(number, _)| kind_numbered(*number))
}

/// An indicator of a value about which nothing else is said.
pub(crate) fn plain_indicator(what: Observable) -> Indicator {
    Indicator {
        what,
        kind: unknown_kind(),
        confidence: None,
        valid_from: 0,
        valid_until: 0,
        id: None,
        comment: String::new(),
    }
}

/// What is wrong with a validity that ends before it begins: nobody can tell which of the two is meant.
pub(crate) fn odd_validity(from: u64, until: u64) -> Option<&'static str> {
    (until != 0 && until < from)
        .then_some("its valid_until is before its valid_from: mend one of them at the source")
}

/// The number of a rule language by its STIX `pattern_type` or MISP attribute type.
pub(crate) fn pattern_language(name: &str) -> Option<u16> {
    let name = if name == "stix2-pattern" { "stix" } else { name };
    PATTERNS.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}

/// The type of values that a CSV's type cell or header means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A MISP attribute type; several observable types may fit.
    Misp(&'static str),
    /// An observable type of the table, by its name.
    Own(&'static str),
    /// A package of an ecosystem, such as `npm`.
    Package(&'static str),
    /// Some hash: its length tells which.
    Hash,
}

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

/// The type that a word of a header or type cell means, if any: as a whole, else by its last word that means one
/// (`SILKLOADER_SHA256`, `IPv4 Address`).
pub(crate) fn type_named(text: &str) -> Option<Named> {
    if text.len() > 80 {
        return None;
    }
    let mut name = String::new();
    for c in text.trim().chars() {
        let c = if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        if c != '_' || !(name.is_empty() || name.ends_with('_')) {
            name.push(c);
        }
    }
    let name = name.trim_end_matches('_');
    let words: Vec<&str> = name.split('_').collect();
    if let [ecosystem, .., "package" | "image" | "action" | "extension" | "module" | "crate"] = words[..]
        && let Some((_, purl)) = ECOSYSTEMS.iter().find(|(word, _)| *word == ecosystem)
    {
        return Some(Named::Package(purl));
    }
    word(name).or_else(|| words.iter().rev().find_map(|name| word(name)))
}

fn word(name: &str) -> Option<Named> {
    if matches!(name, "hash" | "hashes" | "file_hash") {
        return Some(Named::Hash);
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
    /// The observables of a value that is said to be of this type. A value that is none, but is clearly of another
    /// type, is taken as what it is.
    pub(crate) fn read(self, value: &str) -> Result<Vec<Observable>, Fault> {
        let typed = match self {
            Self::Misp(name) => observable::from_misp(name, value).map(|found| found.values),
            Self::Own(name) => Observable::parse(name, value).map(|one| vec![one]),
            Self::Package(ecosystem) => observable::package(ecosystem, value, "").map(|one| vec![one]),
            Self::Hash => {
                return detect(value).map(|found| vec![found.observable]).map_err(Fault::from);
            }
        };
        typed.or_else(|error| match detect(value) {
            Ok(found) => Ok(vec![found.observable]),
            Err(_) => Err(error.into()),
        })
    }

    /// The type that is said where the value is clearly of another; `None` if they agree.
    pub(crate) fn contradicted(self, found: &Observable) -> Option<&'static str> {
        let hash = [kind::MD5, kind::SHA1, kind::SHA256, kind::SHA512];
        let (said, agrees) = match self {
            Self::Misp(name) => (name, misp_agrees(name, found)),
            Self::Own(name) => (name, Type::by_name(name).is_none_or(|row| same_family(row.id, found.kind))),
            Self::Package(name) => (name, found.kind == kind::PACKAGE),
            Self::Hash => ("hash", hash.contains(&found.kind)),
        };
        (!agrees).then_some(said)
    }
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
fn same_family(said: u16, found: u16) -> bool {
    let family = |id| match id {
        kind::IPV4_NET => kind::IPV4,
        kind::IPV6_NET => kind::IPV6,
        id => id,
    };
    family(said) == family(found)
}

/// The comment of an indicator: what the source says of it, then its tags.
pub(crate) fn comment<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    tags: impl IntoIterator<Item = &'a str>,
) -> String {
    let texts: Vec<String> =
        texts.into_iter().map(|text| one_line(text, COMMENT_MAX)).filter(|text| !text.is_empty()).collect();
    let mut out = texts.join(": ");
    for tag in tags {
        let tag = one_line(tag.trim().trim_start_matches('#'), 80);
        if !tag.is_empty() {
            out.push_str(if out.is_empty() { "#" } else { " #" });
            out.push_str(&tag);
        }
        if out.len() > COMMENT_MAX {
            break;
        }
    }
    cut(out, COMMENT_MAX)
}

/// The kind that tags tell, where the source says no more than "malicious".
pub(crate) fn refined<'a>(said: Code, mut tags: impl Iterator<Item = &'a str>) -> Code {
    /// `malicious-activity`: what feeds say where they say nothing of their own.
    const MALICIOUS: u16 = 1;
    if said.kind != MALICIOUS {
        return said;
    }
    // The first six kinds say less than these.
    tags.find_map(|tag| kind_named(tag).filter(|kind| kind.kind > 6)).unwrap_or(said)
}

/// A text as one line without control characters, at most `most` bytes.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let mut out = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
        if out.len() > most {
            break;
        }
    }
    cut(out, most)
}

/// A text without control characters but line breaks, at most `most` bytes.
pub(crate) fn paragraph(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.trim().chars() {
        if out.len() >= most {
            break;
        }
        match c {
            '\n' => out.push('\n'),
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    cut(out, most)
}

fn cut(mut text: String, most: usize) -> String {
    const ELLIPSIS: &str = "...";
    if text.len() > most {
        let mut end = most.saturating_sub(ELLIPSIS.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(ELLIPSIS);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_the_words_of_real_files() {
        for (text, named) in [
            ("domain", Some(Named::Misp("domain"))),
            ("Domain name", Some(Named::Misp("domain"))),
            ("domain_name", Some(Named::Misp("domain"))),
            ("IP address", Some(Named::Misp("ip-dst"))),
            ("IPv4 Address", Some(Named::Misp("ip-dst"))),
            ("ipv4", Some(Named::Misp("ip-dst"))),
            ("ip:port", Some(Named::Misp("ip-dst"))),
            ("SHA256", Some(Named::Misp("sha256"))),
            ("SILKLOADER_SHA256", Some(Named::Misp("sha256"))),
            ("file_sha256", Some(Named::Misp("sha256"))),
            ("cert_sha1", Some(Named::Own("cert-sha1"))),
            ("email_address", Some(Named::Misp("email"))),
            ("npm package", Some(Named::Package("npm"))),
            ("docker image", Some(Named::Package("docker"))),
            ("File hash", Some(Named::Hash)),
            ("CVE", Some(Named::Own("cve"))),
            ("Command line", None),
            ("MSI package", None),
            ("registry", None),
            ("", None),
        ] {
            assert_eq!(type_named(text), named, "{text}");
        }
    }

    #[test]
    fn lines_are_cut_at_characters() {
        assert_eq!(one_line(" a\n\tb\u{1b}[0m  c ", 50), "a b [0m c");
        assert_eq!(one_line("ääääää", 8), "ää...");
        assert_eq!(paragraph("a\r\n\u{7}b", 50), "a\nb");
    }
}
