//! The STIX 2.1 pattern language (section 9), as far as it names values: comparisons for equality become
//! observables, everything else is told apart so that the pattern itself is kept.
//!
//! A value is named only if an observation of it alone is a match: `[a] AND [b]` and `[a] FOLLOWEDBY [b]` ask for two, so
//! neither is (`alone` says what is met between brackets). `AND` binds first, `FOLLOWEDBY` last (section 9.4).
//!
//! The grammar is taken leniently: keywords in any case, brackets around anything, spaces anywhere.

mod alone;

use tocsin_record::observable::{self, Observable, Type, detect, kind};

use crate::fault::Fault;
use crate::types;
use alone::{Alternatives, Comparison, Part, Test, judge};

/// How deep brackets may be nested: each level is one of recursion.
const DEPTH_MAX: usize = 64;
/// Most values that one pattern names: half of what a report may have.
const VALUES_MAX: usize = 10_000;

/// Most values of which it is said that they are not what their path says: more of one pattern say nothing new.
const NOTES_MAX: usize = 16;

/// What a pattern names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Its values, as they stand in it, of which each alone is what is meant.
    pub values: Vec<Observable>,
    /// Values that only describe one of those, such as the name beside a hash.
    pub beside: Vec<Observable>,
    /// Whether the values are all there is to it: each of them alone is what is meant.
    pub complete: bool,
    /// Texts that are no value of what their path holds, and values that are of another type; at most [`NOTES_MAX`].
    pub notes: Vec<Fault>,
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
    let mut parser =
        Parser { text, at: 0, depth: 0, left: VALUES_MAX, comparisons: Vec::new(), notes: Vec::new() };
    let named = parser.observations()?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.error("something after its end"));
    }
    let Part { mut values, mut beside, complete } = named;
    let complete = complete && !values.is_empty() && values.len() <= VALUES_MAX;
    values.truncate(VALUES_MAX);
    beside.truncate(VALUES_MAX);
    let is_named = |value: &Observable| values.contains(value) || beside.contains(value);
    // Of a value that is not taken it is not said as what it was.
    let notes = parser.notes.into_iter().filter(|(value, _)| value.as_ref().is_none_or(is_named));
    let notes = notes.map(|(_, why)| why).take(NOTES_MAX).collect();
    Ok(Named { values, beside, complete, notes })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// How many more values may be read.
    left: usize,
    /// Those of the expression between brackets that is being read.
    comparisons: Vec<Comparison>,
    /// Values that are not of the type that their path says, with what is said of that; no value where the text is none.
    notes: Vec<(Option<Observable>, Fault)>,
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
                for text in &texts {
                    self.look(&path, text);
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

    /// Takes note of a value that is not of the type that its path says.
    fn look(&mut self, path: &str, text: &str) {
        if self.notes.len() < NOTES_MAX {
            let found = value(path, text);
            self.notes.extend(otherwise(path, text, found.as_ref()).map(|why| (found, why)));
        }
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

/// What is said of a text that is not of the type that its path says, with what it was found to be.
pub(super) fn otherwise(path: &str, text: &str, found: Option<&Observable>) -> Option<Fault> {
    let row = Type::by_stix_path(path).next().filter(|row| row.id != kind::ACCOUNT)?;
    match found {
        Some(found) => {
            let agrees = Type::by_stix_path(path).any(|row| types::same_family(row.id, found.kind));
            (!agrees).then(|| Fault::of(text, types::other_type(path, found)))
        }
        None => {
            let why = row.parse(text).err()?.reason();
            Some(Fault::of(text, format!("{why}: it is kept and matched against nothing")))
        }
    }
}

/// The observable of `path = value`. Feeds put addresses under `domain-name`, names under `ipv4-addr` and hashes of one
/// kind under another: there the value decides.
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
            let hash = |id: u16| matches!(id, kind::MD5 | kind::SHA1 | kind::SHA256 | kind::SHA512);
            let family = [host as fn(u16) -> bool, hash]
                .into_iter()
                .find(|family| Type::by_stix_path(path).any(|row| family(row.id)))?;
            detect(text).ok().map(|found| found.observable).filter(|found| family(found.kind))
        }
    }
}

#[cfg(test)]
mod tests;
