//! What of an observation expression is met by one value alone.
//!
//! The comparisons between the brackets are brought into alternatives: each is a set of comparisons that must hold
//! together. A value is an indicator if some alternative asks for nothing else, or for no more than MISP leaves out as
//! well: the port beside an address, what kind of host it is, fields of its own making.

use std::collections::HashSet;

use tocsin_record::observable::{self, Observable, Type, kind};

use super::value;

/// Most comparisons that the alternatives of one expression hold together. `(a OR b) AND (c OR d) AND ...` doubles with
/// each bracket.
const SIZE_MAX: usize = 200_000;

/// One comparison.
#[derive(Debug)]
pub(super) struct Comparison {
    /// As one text without quotes, such as `file:hashes.MD5`.
    pub path: String,
    pub test: Test,
}

/// What a comparison asks of its property.
#[derive(Debug)]
pub(super) enum Test {
    /// To be this, or to lie inside it.
    Is(String),
    /// To be one of these.
    OneOf(Vec<String>),
    /// To be none of these.
    NoneOf(Vec<String>),
    /// To be like this, where `%` is any text and `_` any character; or not to be.
    Like(String, bool),
    /// To be there.
    Exists,
    /// What cannot be judged here.
    Other,
}

/// Alternatives, each of numbers of comparisons.
#[derive(Debug)]
pub(super) struct Alternatives(Vec<Vec<usize>>);

impl Alternatives {
    pub(super) fn of(comparison: usize) -> Self {
        Self(vec![vec![comparison]])
    }

    pub(super) fn or(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Each of one with each of the other; `None` where they are too many.
    pub(super) fn and(self, other: Self) -> Option<Self> {
        let length = |all: &Self| all.0.iter().map(Vec::len).sum::<usize>();
        let size = length(&self)
            .checked_mul(other.0.len())?
            .checked_add(length(&other).checked_mul(self.0.len())?)?;
        if size > SIZE_MAX {
            return None;
        }
        let with = |one: &Vec<usize>| {
            let one = one.clone();
            other.0.iter().map(move |more| [&one[..], more].concat()).collect::<Vec<_>>()
        };
        Some(Self(self.0.iter().flat_map(with).collect()))
    }
}

/// What a part of a pattern names.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Values of which each alone is what is meant.
    pub values: Vec<Observable>,
    /// Values that only describe one of those, such as the name beside a hash.
    pub beside: Vec<Observable>,
    /// Whether the values are all there is to it.
    pub complete: bool,
}

impl Part {
    /// What either names.
    pub(super) fn or(mut self, other: Self) -> Self {
        self.values.extend(other.values);
        self.beside.extend(other.beside);
        self.complete &= other.complete;
        self
    }
}

/// What an expression names, by its alternatives.
pub(super) fn judge(alternatives: &Alternatives, comparisons: &[Comparison]) -> Part {
    let parts = alternatives.0.iter().map(|numbers| {
        let all: Vec<&Comparison> = numbers.iter().filter_map(|at| comparisons.get(*at)).collect();
        alternative(&all)
    });
    let mut part = parts.fold(Part { complete: true, ..Part::default() }, Part::or);
    let mut seen = HashSet::new();
    part.values.retain(|found| seen.insert(found.clone()));
    part.beside.retain(|found| seen.insert(found.clone()));
    part
}

/// What comparisons name that must hold together.
fn alternative(all: &[&Comparison]) -> Part {
    let all: Vec<&&Comparison> = all.iter().filter(|one| !is_left_out(one)).collect();
    let root = |one: &Comparison| one.path.split(':').next().unwrap_or_default().to_owned();
    let Some(first) = all.first().map(|one| root(one)) else { return Part::default() };
    // No object is of two types.
    if all.iter().any(|one| root(one) != first) {
        return Part::default();
    }
    let mut named: Vec<(&Comparison, Observable)> = Vec::new();
    let mut more = false;
    if first == "user-account" {
        let account = account(&all);
        return Part {
            complete: account.is_some(),
            values: account.into_iter().collect(),
            beside: Vec::new(),
        };
    }
    for one in &all {
        if let Test::Is(text) = &one.test {
            match value(&one.path, text) {
                Some(found) => named.push((one, found)),
                None => more = true,
            }
        }
    }
    for one in &all {
        let beside = |text: &&(&Comparison, Observable)| text.0.path == one.path;
        let same = if one.path.contains('[') { None } else { named.iter().find(beside) };
        let Some((with, found)) = same else {
            more |= !matches!(one.test, Test::Is(_));
            continue;
        };
        let Test::Is(text) = &with.test else { continue };
        match holds(one, text, found) {
            Some(true) => {}
            // What contradicts itself is met by nothing, and adds nothing.
            Some(false) => return Part { complete: true, ..Part::default() },
            None => more = true,
        }
    }
    named.dedup_by(|later, first| later.1 == first.1 && later.0.path == first.0.path);
    let (hashes, others): (Vec<_>, Vec<_>) = named.into_iter().partition(|(_, found)| is_identity(found));
    let mut paths: Vec<&str> = others.iter().map(|(one, _)| &*one.path).collect();
    paths.sort_unstable();
    paths.dedup();
    // MISP has both ends of a connection, and a name with what it resolves to, as values of their own.
    let together = paths.len() < 2 || matches!(&*first, "network-traffic" | "domain-name");
    let mut part = Part { complete: !more, ..Part::default() };
    let alone = !more && hashes.is_empty() && together;
    let describes = !hashes.is_empty() || first == "email-message";
    part.values.extend(hashes.into_iter().map(|(_, found)| found));
    for (_, found) in others {
        if alone {
            part.values.push(found);
        } else if describes {
            part.beside.push(found);
        } else {
            part.complete = false;
        }
    }
    part.complete &= !part.values.is_empty();
    part
}

/// What MISP does not have as a part of a value either.
fn is_left_out(one: &Comparison) -> bool {
    if !matches!(one.test, Test::Is(_) | Test::OneOf(_) | Test::Exists) {
        return false;
    }
    let (root, property) = one.path.split_once(':').unwrap_or((&one.path, ""));
    let of_root = match root {
        "network-traffic" => matches!(property, "src_port" | "dst_port") || property.starts_with("protocols"),
        "windows-registry-key" => property.starts_with("values"),
        "autonomous-system" => property == "name",
        "email-addr" => property == "display_name",
        _ => false,
    };
    // The kind of what is pointed to follows from its value.
    let is_kind = property.ends_with("_ref.type") || property.ends_with("_refs[*].type");
    let own = property.starts_with("x_misp_") && Type::by_stix_path(&one.path).next().is_none();
    of_root || is_kind || own
}

/// Whether a value that a comparison on the same property names meets another one.
fn holds(one: &Comparison, text: &str, found: &Observable) -> Option<bool> {
    let same = |other: &String| other == text || value(&one.path, other).as_ref() == Some(found);
    match &one.test {
        Test::Is(other) => Some(same(other)),
        Test::OneOf(others) => Some(others.iter().any(same)),
        Test::NoneOf(others) => Some(!others.iter().any(same)),
        Test::Like(pattern, wanted) => Some(is_like(text, pattern) == *wanted),
        Test::Exists => Some(true),
        Test::Other => None,
    }
}

/// `%` is any text, `_` any one character.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut next) = (0, 0);
    // Where the last `%` stood, and how far the text was matched by it.
    let mut back: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(next) {
            Some('%') => {
                back = Some((next, at));
                next += 1;
            }
            Some(c) if *c == '_' || *c == text[at] => {
                at += 1;
                next += 1;
            }
            _ => {
                let Some((star, from)) = back else { return false };
                back = Some((star, from + 1));
                (next, at) = (star + 1, from + 1);
            }
        }
    }
    pattern[next..].iter().all(|c| *c == '%')
}

/// Of several conditions that must hold together, what is a file's or certificate's own means the same alone.
fn is_identity(found: &Observable) -> bool {
    Type::by_id(found.kind).is_some_and(Type::is_hash)
}

/// An account's platform and handle stand in two comparisons.
fn account(all: &[&&Comparison]) -> Option<Observable> {
    let mut platform = None;
    let mut handle = None;
    for one in all {
        let Test::Is(text) = &one.test else { return None };
        if one.path == "user-account:account_type" {
            platform = Some(text);
        } else if Type::by_stix_path(&one.path).any(|row| row.id == kind::ACCOUNT) {
            handle = handle.or(Some(text));
        } else if one.path != "user-account:display_name" {
            return None;
        }
    }
    observable::account(platform?, handle?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_is_as_in_sql() {
        for (text, pattern, like) in [
            ("a.example", "a.example", true),
            ("a.example", "%", true),
            ("a.example", "%.example", true),
            ("a.example", "_.example", true),
            ("a.example", "a%e%", true),
            ("a.example", "a%x", false),
            ("a.example", "_", false),
            ("a.example", "", false),
            ("", "%", true),
            ("aaab", "%ab", true),
            ("abcabd", "%ab_", true),
        ] {
            assert_eq!(is_like(text, pattern), like, "{text} {pattern}");
        }
    }
}
