//! The STIX 2.1 pattern language (section 9), as far as it names values: comparisons for equality become
//! observables, everything else is told apart so that the pattern itself is kept.
//!
//! The grammar is taken leniently: keywords in any case, brackets around anything, spaces anywhere.

use tocsin_record::observable::{self, Observable, Type, detect, kind};

/// How deep brackets may be nested: each level is one of recursion.
const DEPTH_MAX: usize = 64;
/// Most values that one pattern names: half of what a report may have.
const VALUES_MAX: usize = 10_000;

/// What a pattern names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Its values, as they stand in it.
    pub values: Vec<Observable>,
    /// Whether the values are all there is to it: each of them alone is what is meant.
    pub complete: bool,
}

/// Why a text is no pattern.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern has {what} at byte {at}")]
pub(super) struct PatternError {
    at: usize,
    what: &'static str,
}

/// Reads a pattern.
pub(super) fn read(text: &str) -> Result<Named, PatternError> {
    let mut parser = Parser { text, at: 0, depth: 0, left: VALUES_MAX };
    let mut named = parser.observations()?.settled();
    parser.space();
    if parser.at < text.len() {
        return Err(parser.error("something after its end"));
    }
    named.complete &= !named.values.is_empty();
    Ok(Named { values: named.values, complete: named.complete })
}

/// What a part of a pattern names. An account's platform and handle stand in two comparisons of one AND.
#[derive(Default)]
struct Part {
    values: Vec<Observable>,
    complete: bool,
    platform: Option<String>,
    handles: Vec<String>,
}

impl Part {
    fn opaque() -> Self {
        Self::default()
    }

    fn neutral() -> Self {
        Self { complete: true, ..Self::default() }
    }

    fn join(mut self, other: Self) -> Self {
        self.values.extend(other.values);
        self.handles.extend(other.handles);
        self.platform = self.platform.or(other.platform);
        self.complete &= other.complete;
        self
    }

    /// Puts platform and handles together.
    fn settled(mut self) -> Self {
        let platform = self.platform.take();
        for handle in std::mem::take(&mut self.handles) {
            match platform.as_deref().map(|platform| observable::account(platform, &handle)) {
                Some(Ok(account)) => self.values.push(account),
                Some(Err(_)) | None => self.complete = false,
            }
        }
        self
    }

    /// Of several conditions that must hold together where one is no plain value, only a hash means the same alone.
    fn narrowed(mut self) -> Self {
        if !self.complete {
            self.values.retain(|value| {
                matches!(
                    value.kind,
                    kind::MD5
                        | kind::SHA1
                        | kind::SHA256
                        | kind::SHA512
                        | kind::CERT_SHA1
                        | kind::CERT_SHA256
                )
            });
        }
        self
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    left: usize,
}

/// What a comparison compares with.
enum Literal {
    Text(String),
    Set(Vec<String>),
}

impl<'a> Parser<'a> {
    /// `[..] AND [..] OR [..] FOLLOWEDBY [..]`, each with qualifiers.
    fn observations(&mut self) -> Result<Part, PatternError> {
        let mut whole = self.observations_and()?;
        loop {
            if self.keyword("OR") {
                whole = whole.join(self.observations_and()?);
            } else if self.keyword("FOLLOWEDBY") {
                whole = whole.join(self.observations_and()?);
                whole.complete = false;
                whole = whole.narrowed();
            } else {
                return Ok(whole);
            }
        }
    }

    fn observations_and(&mut self) -> Result<Part, PatternError> {
        let mut whole = self.qualified()?;
        while self.keyword("AND") {
            whole = whole.join(self.qualified()?);
            whole.complete = false;
            whole = whole.narrowed();
        }
        Ok(whole)
    }

    fn qualified(&mut self) -> Result<Part, PatternError> {
        let mut part = if self.sign('[') {
            self.nested(Self::comparisons, ']')?
        } else if self.sign('(') {
            self.nested(Self::observations, ')')?
        } else {
            return Err(self.error("no `[`"));
        };
        loop {
            if self.keyword("WITHIN") {
                self.literal()?;
                if !self.keyword("SECONDS") {
                    return Err(self.error("WITHIN without SECONDS"));
                }
            } else if self.keyword("REPEATS") {
                self.literal()?;
                if !self.keyword("TIMES") {
                    return Err(self.error("REPEATS without TIMES"));
                }
            } else if self.keyword("START") {
                self.literal()?;
                if !self.keyword("STOP") {
                    return Err(self.error("START without STOP"));
                }
                self.literal()?;
            } else {
                return Ok(part);
            }
            part.complete = false;
            part = part.narrowed();
        }
    }

    /// `a = 1 OR b = 2 AND c = 3`
    fn comparisons(&mut self) -> Result<Part, PatternError> {
        let mut whole = self.comparisons_and()?;
        while self.keyword("OR") {
            whole = whole.join(self.comparisons_and()?);
        }
        Ok(whole)
    }

    fn comparisons_and(&mut self) -> Result<Part, PatternError> {
        let mut whole = self.comparison()?;
        while self.keyword("AND") {
            whole = whole.join(self.comparison()?);
        }
        Ok(whole.settled().narrowed())
    }

    fn comparison(&mut self) -> Result<Part, PatternError> {
        if self.sign('(') {
            return self.nested(Self::comparisons, ')');
        }
        if self.keyword("EXISTS") {
            self.path()?;
            return Ok(Part::opaque());
        }
        let path = self.path()?;
        let not = self.keyword("NOT");
        let equal = self.operator()?;
        let literal = self.literal()?;
        if not || !equal {
            return Ok(Part::opaque());
        }
        Ok(self.values(&path, literal))
    }

    fn values(&mut self, path: &str, literal: Literal) -> Part {
        let texts = match literal {
            Literal::Text(text) => vec![text],
            Literal::Set(texts) => texts,
        };
        // The kind of what is pointed to follows from the value.
        if path.ends_with("_ref.type") {
            return Part::neutral();
        }
        let mut part = Part::neutral();
        for text in texts {
            if path == "user-account:account_type" {
                part.platform = Some(text);
            } else if Type::by_stix_path(path).any(|row| row.id == kind::ACCOUNT) {
                part.handles.push(text);
            } else if let Some(value) = value(path, &text).filter(|_| self.left > 0) {
                self.left -= 1;
                part.values.push(value);
            } else {
                part.complete = false;
            }
        }
        part
    }

    /// An operator; `true` for one that means equality.
    fn operator(&mut self) -> Result<bool, PatternError> {
        for (sign, equal) in [
            ("==", true),
            ("=", true),
            ("!=", false),
            ("<>", false),
            ("<=", false),
            (">=", false),
            ("<", false),
            (">", false),
        ] {
            self.space();
            if self.text[self.at..].starts_with(sign) {
                self.at += sign.len();
                return Ok(equal);
            }
        }
        // An address inside a network is what listing the network means.
        for (word, equal) in
            [("IN", true), ("ISSUBSET", true), ("ISSUPERSET", false), ("LIKE", false), ("MATCHES", false)]
        {
            if self.keyword(word) {
                return Ok(equal);
            }
        }
        Err(self.error("no operator"))
    }

    /// `type:field.'quoted'[*].more`, as one text without spaces.
    fn path(&mut self) -> Result<String, PatternError> {
        self.space();
        let mut path = String::new();
        loop {
            let rest = &self.text[self.at..];
            let name = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
                .unwrap_or(rest.len());
            if rest.starts_with('\'') {
                path.push_str(&self.quoted()?);
            } else if rest.starts_with('[') {
                let end = rest.find(']').ok_or(self.error("an index without end"))?;
                path.push_str(&rest[..=end]);
                self.at += end + 1;
            } else if rest.starts_with([':', '.']) {
                path.push_str(&rest[..1]);
                self.at += 1;
            } else if name > 0 {
                // A name after a quoted or indexed step without a dot is the next word already.
                path.push_str(&rest[..name]);
                self.at += name;
            } else {
                break;
            }
            if !self.text[self.at..].starts_with([':', '.', '[', '\'']) && !path.ends_with([':', '.']) {
                break;
            }
        }
        if path.contains(':') { Ok(path) } else { Err(self.error("no object path")) }
    }

    fn literal(&mut self) -> Result<Literal, PatternError> {
        if self.sign('(') {
            let mut set = Vec::new();
            loop {
                match self.literal_one()? {
                    text if set.len() < VALUES_MAX => set.push(text),
                    _ => return Err(self.error("too many values")),
                }
                if self.sign(')') {
                    return Ok(Literal::Set(set));
                }
                if !self.sign(',') {
                    return Err(self.error("a set without end"));
                }
            }
        }
        self.literal_one().map(Literal::Text)
    }

    fn literal_one(&mut self) -> Result<String, PatternError> {
        self.space();
        let rest = &self.text[self.at..];
        if rest.starts_with('\'') {
            return self.quoted();
        }
        if let Some(c) = rest.chars().next()
            && matches!(c, 't' | 'b' | 'h')
            && rest[1..].starts_with('\'')
        {
            self.at += 1;
            return self.quoted();
        }
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
            .unwrap_or(rest.len());
        if end == 0 {
            return Err(self.error("no value"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }

    /// A quoted text, with `\'` and `\\` inside.
    fn quoted(&mut self) -> Result<String, PatternError> {
        let mut out = String::new();
        let mut signs = self.text[self.at + 1..].char_indices();
        while let Some((offset, c)) = signs.next() {
            match c {
                '\\' => match signs.next() {
                    Some((_, c @ ('\'' | '\\'))) => out.push(c),
                    // Feeds leave single backslashes in registry keys and paths.
                    Some((_, c)) => out.extend(['\\', c]),
                    None => break,
                },
                '\'' => {
                    self.at += offset + 2;
                    return Ok(out);
                }
                c => out.push(c),
            }
        }
        Err(self.error("a quote without end"))
    }

    fn nested(
        &mut self,
        inner: impl Fn(&mut Self) -> Result<Part, PatternError>,
        close: char,
    ) -> Result<Part, PatternError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("too many brackets in one another"));
        }
        let part = inner(self)?;
        self.depth -= 1;
        if self.sign(close) { Ok(part.settled()) } else { Err(self.error("a bracket without end")) }
    }

    fn sign(&mut self, sign: char) -> bool {
        self.space();
        let found = self.text[self.at..].starts_with(sign);
        self.at += if found { sign.len_utf8() } else { 0 };
        found
    }

    fn keyword(&mut self, word: &str) -> bool {
        self.space();
        let rest = &self.text[self.at..];
        let found = rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
            && !rest[word.len()..]
                .starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':'));
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn error(&self, what: &'static str) -> PatternError {
        PatternError { at: self.at, what }
    }
}

/// The observable of `path = value`. Feeds put addresses under `domain-name` and names under `ipv4-addr`: there the
/// value decides.
pub(super) fn value(path: &str, text: &str) -> Option<Observable> {
    match observable::from_stix_path(path, text) {
        Ok(found) => Some(found),
        Err(_) => {
            let host = |id: u16| {
                matches!(
                    id,
                    kind::IPV4 | kind::IPV6 | kind::IPV4_NET | kind::IPV6_NET | kind::DOMAIN | kind::URL
                )
            };
            Type::by_stix_path(path)
                .any(|row| host(row.id))
                .then(|| detect(text).ok())
                .flatten()
                .map(|found| found.observable)
                .filter(|found| host(found.kind))
        }
    }
}

#[cfg(test)]
mod tests {
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
            (
                "[file:hashes.md5 = 'd41d8cd98f00b204e9800998ecf8427e']",
                "md5 d41d8cd98f00b204e9800998ecf8427e",
            ),
            (
                "[file:hashes.'MD5' = 'd41d8cd98f00b204e9800998ecf8427e']",
                "md5 d41d8cd98f00b204e9800998ecf8427e",
            ),
            ("[app:id = 'com.evil.app']", "app com.evil.app"),
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
            ("[domain-name:value = 'a.example'] AND [domain-name:value = 'b.example']", 0),
            ("[domain-name:value = 'a.example'] FOLLOWEDBY [domain-name:value = 'b.example']", 0),
            ("[domain-name:value = 'a.example'] REPEATS 5 TIMES WITHIN 10 SECONDS", 0),
            ("[file:hashes.'SHA-256' = 'f00']", 0),
        ] {
            let (values, complete) = shown(pattern);
            assert_eq!((values.len(), complete), (count, false), "{pattern}: {values:?}");
        }
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
}
