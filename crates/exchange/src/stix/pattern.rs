//! The STIX 2.1 pattern language (section 9), as far as it names values: comparisons for equality become
//! observables, everything else is told apart so that the pattern itself is kept.
//!
//! A value is named only if an observation of it alone is a match: `[a] AND [b]` and `[a] FOLLOWEDBY [b]` ask for two, so
//! neither is (`alone` says what is met between brackets). `AND` binds first, `FOLLOWEDBY` last (section 9.4).
//!
//! The grammar is taken leniently: keywords in any case, brackets around anything, spaces anywhere.

mod alone;

use tocsin_record::observable::{self, Observable, Type, detect, kind};

use alone::{Alternatives, Comparison, Part, Test, judge};

/// How deep brackets may be nested: each level is one of recursion.
const DEPTH_MAX: usize = 64;
/// Most values that one pattern names: half of what a report may have.
const VALUES_MAX: usize = 10_000;

/// What a pattern names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Its values, as they stand in it, of which each alone is what is meant.
    pub values: Vec<Observable>,
    /// Values that only describe one of those, such as the name beside a hash.
    pub beside: Vec<Observable>,
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
    let mut parser = Parser { text, at: 0, depth: 0, left: VALUES_MAX, comparisons: Vec::new() };
    let named = parser.observations()?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.error("something after its end"));
    }
    let Part { mut values, mut beside, complete } = named;
    let complete = complete && !values.is_empty() && values.len() <= VALUES_MAX;
    values.truncate(VALUES_MAX);
    beside.truncate(VALUES_MAX);
    Ok(Named { values, beside, complete })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// How many more values may be read.
    left: usize,
    /// Those of the expression between brackets that is being read.
    comparisons: Vec<Comparison>,
}

/// What a comparison does, as far as it matters here.
#[derive(Clone, Copy)]
enum Operator {
    Equal,
    Unequal,
    Inside,
    Like,
    Other,
}

/// What a comparison compares with.
enum Literal {
    Text(String),
    Set(Vec<String>),
}

impl<'a> Parser<'a> {
    /// `[..] AND [..] OR [..] FOLLOWEDBY [..]`, each with qualifiers.
    fn observations(&mut self) -> Result<Part, PatternError> {
        let mut whole = self.observations_or()?;
        while self.keyword("FOLLOWEDBY") {
            self.observations_or()?;
            whole = Part::default();
        }
        Ok(whole)
    }

    fn observations_or(&mut self) -> Result<Part, PatternError> {
        let mut whole = self.observations_and()?;
        while self.keyword("OR") {
            whole = whole.or(self.observations_and()?);
        }
        Ok(whole)
    }

    fn observations_and(&mut self) -> Result<Part, PatternError> {
        let mut whole = self.qualified()?;
        while self.keyword("AND") {
            self.qualified()?;
            whole = Part::default();
        }
        Ok(whole)
    }

    fn qualified(&mut self) -> Result<Part, PatternError> {
        let mut part = if self.sign('[') {
            self.comparisons.clear();
            let alternatives = self.nested(Self::comparisons_or, ']')?;
            alternatives.map_or_else(Part::default, |alternatives| judge(&alternatives, &self.comparisons))
        } else if self.sign('(') {
            self.nested(Self::observations, ')')?
        } else {
            return Err(self.error("no `[`"));
        };
        loop {
            let met_by_one = if self.keyword("WITHIN") {
                self.literal()?;
                if !self.keyword("SECONDS") {
                    return Err(self.error("WITHIN without SECONDS"));
                }
                // One observation is always within a time.
                true
            } else if self.keyword("REPEATS") {
                let times = self.literal_one()?;
                if !self.keyword("TIMES") {
                    return Err(self.error("REPEATS without TIMES"));
                }
                times == "1"
            } else if self.keyword("START") {
                self.literal()?;
                if !self.keyword("STOP") {
                    return Err(self.error("START without STOP"));
                }
                self.literal()?;
                false
            } else {
                return Ok(part);
            };
            if !met_by_one {
                part = Part::default();
            }
        }
    }

    /// `a = 1 OR b = 2 AND c = 3`; nothing where the alternatives are too many.
    fn comparisons_or(&mut self) -> Result<Option<Alternatives>, PatternError> {
        let mut whole = self.comparisons_and()?;
        while self.keyword("OR") {
            let other = self.comparisons_and()?;
            whole = whole.zip(other).map(|(one, other)| one.or(other));
        }
        Ok(whole)
    }

    fn comparisons_and(&mut self) -> Result<Option<Alternatives>, PatternError> {
        let mut whole = self.comparison()?;
        while self.keyword("AND") {
            let other = self.comparison()?;
            whole = whole.zip(other).and_then(|(one, other)| one.and(other));
        }
        Ok(whole)
    }

    fn comparison(&mut self) -> Result<Option<Alternatives>, PatternError> {
        if self.sign('(') {
            return self.nested(Self::comparisons_or, ')');
        }
        if self.keyword("EXISTS") {
            let path = self.path()?;
            return Ok(Some(self.compare(path, Test::Exists)));
        }
        let path = self.path()?;
        let not = self.keyword("NOT");
        let operator = self.operator()?;
        let literal = self.literal()?;
        // The kind of what is pointed to follows from the value.
        let texts = match literal {
            Literal::Text(text) => vec![text],
            Literal::Set(texts) => texts,
        };
        let test = match (operator, not) {
            (Operator::Equal | Operator::Inside, false) => {
                self.left = self.left.saturating_sub(texts.len());
                if self.left == 0 {
                    return Ok(None);
                }
                let each = texts.into_iter().map(|text| self.compare(path.clone(), Test::Is(text)));
                return Ok(each.reduce(Alternatives::or));
            }
            (Operator::Equal, true) | (Operator::Unequal, false) => Test::NoneOf(texts),
            (Operator::Unequal, true) => Test::OneOf(texts),
            (Operator::Like, not) => Test::Like(texts.concat(), !not),
            (Operator::Inside, true) | (Operator::Other, _) => Test::Other,
        };
        Ok(Some(self.compare(path, test)))
    }

    fn compare(&mut self, path: String, test: Test) -> Alternatives {
        self.comparisons.push(Comparison { path, test });
        Alternatives::of(self.comparisons.len() - 1)
    }

    fn operator(&mut self) -> Result<Operator, PatternError> {
        for (sign, operator) in [
            ("==", Operator::Equal),
            ("=", Operator::Equal),
            ("!=", Operator::Unequal),
            ("<>", Operator::Unequal),
            ("<=", Operator::Other),
            (">=", Operator::Other),
            ("<", Operator::Other),
            (">", Operator::Other),
        ] {
            self.space();
            if self.text[self.at..].starts_with(sign) {
                self.at += sign.len();
                return Ok(operator);
            }
        }
        // An address inside a network is what listing the network means.
        for (word, operator) in [
            ("IN", Operator::Equal),
            ("ISSUBSET", Operator::Inside),
            ("ISSUPERSET", Operator::Other),
            ("LIKE", Operator::Like),
            ("MATCHES", Operator::Other),
        ] {
            if self.keyword(word) {
                return Ok(operator);
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

    fn nested<T>(
        &mut self,
        inner: impl Fn(&mut Self) -> Result<T, PatternError>,
        close: char,
    ) -> Result<T, PatternError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("too many brackets in one another"));
        }
        let part = inner(self)?;
        self.depth -= 1;
        if self.sign(close) { Ok(part) } else { Err(self.error("a bracket without end")) }
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
            (
                "[file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e'] AND [domain-name:value = 'a.example']",
                0,
            ),
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
            (
                "[domain-name:value = 'a.example'] START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'",
                0,
            ),
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
        for line in include_str!("pattern/patterns.txt").lines().filter(|line| !line.starts_with('#')) {
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
        let named = read("[file:name = 'a.exe' AND file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e' AND file:size = 3]").unwrap();
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
}
