//! What texts say about handling: the one table of words that mean a TLP or a PAP, or that look as if they meant one.
//!
//! People write `TLP: RED`, `tlp-amber strict`, `PAP_RED`, `Traffic Light Protocol: green`; programs write `"tlp":"red"`. A text
//! that is a label as a whole ([`label`]: a tag, a cell of a table) states it. One that names a label among other words
//! ([`mention`]) binds what it stands on, and states nothing: who reads `taken from a TLP:CLEAR report` knows nothing of
//! this one. What begins like a label and is none that is known is [`Handling::unclear`]: nobody may guess how
//! strict it is.

use std::borrow::Cow;

use super::{Pap, Tlp};

/// What a text says about handling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handling {
    /// The TLP that it states for what it stands on.
    pub tlp: Option<Tlp>,
    /// The strictest TLP that it names: what it stands on is never looser.
    pub floor: Option<Tlp>,
    /// The strictest PAP that it names.
    pub pap: Option<Pap>,
    /// It looks like a handling label, and not all of it is understood.
    pub unclear: bool,
}

/// Words that mean a TLP, behind `tlp` and wherever a field can hold nothing else.
const TLP_WORDS: &[(&str, Tlp)] = &[
    ("clear", Tlp::Clear),
    ("white", Tlp::Clear),
    ("green", Tlp::Green),
    ("amber", Tlp::Amber),
    ("amberstrict", Tlp::AmberStrict),
    ("red", Tlp::Red),
];

/// Words that mean a PAP, behind `pap`.
const PAP_WORDS: &[(&str, Pap)] = &[
    ("clear", Pap::Clear),
    ("white", Pap::Clear),
    ("green", Pap::Green),
    ("amber", Pap::Amber),
    ("red", Pap::Red),
];

/// What may stand between `tlp` and the word that says which: `TLP level: red`, `"tlp_2_0": "clear"`, `TLPMarking="WHITE"`.
#[rustfmt::skip]
const FILLERS: &[&str] = &[
    "v1", "v2", "1", "2", "0", "level", "marking", "label", "color", "colour", "code", "value", "rating",
    "classification", "designation", "version", "protocol", "is", "id", "name",
];

/// What may stand behind `tlp` where nothing is said.
const NOTHING: &[&str] = &["null", "none", "true", "false", "undefined"];

/// Between two words of one label; several labels are joined by these as well.
const JOINING: &[&str] = &["or", "and", "to"];

/// Actions that IEP 2.0 permits, and the PAP that allows no more.
const IEP_ACTIONS: &[(&str, Pap)] = &[
    ("none", Pap::Red),
    ("contact-for-instruction", Pap::Red),
    ("internally-visible-actions", Pap::Red),
    ("externally-visible-indirect-actions", Pap::Amber),
    ("externally-visible-direct-actions", Pap::Clear),
];

/// Namespaces of tags that say how to handle something: of what begins so, all that is not read here is not understood.
/// From the MISP taxonomies.
#[rustfmt::skip]
const NAMESPACES: &[&str] = &[
    "tlp", "pap", "iep", "iep2-policy", "iep2-reference", "ais-marking", "acs-marking", "dni-ism", "nato",
    "euci", "fr-classif", "de-vs", "cssa", "data-classification", "eu-classification", "classification",
    "handling", "dissemination", "sharing", "caveat", "releasability", "marking", "distribution",
    "confidentiality", "sensitivity", "nsa-classification",
];

/// Words that, alone, limit who may have something, and are no TLP: each is a label that is not understood.
#[rustfmt::skip]
const LIMITS: &[&str] = &[
    "confidential", "secret", "top secret", "topsecret", "restricted", "internal", "internal only",
    "internal use", "internal use only", "for internal use only", "for official use only",
    "official use only", "fouo", "official sensitive", "sensitive", "proprietary", "private", "classified",
    "noforn", "limited", "limited distribution", "no distribution", "not for distribution", "do not share",
    "do not distribute", "not to be shared", "embargo", "embargoed", "need to know", "members only",
    "vs nfd", "vs nur fur den dienstgebrauch", "nato restricted", "nato confidential", "nato secret",
    "eu restricted", "restreint ue", "diffusion restreinte", "confidentiel", "vertraulich", "geheim",
    "intern",
];

/// Names of columns and fields that hold nothing but labels; whole names, in lower case with `_`. So is any with `tlp` or
/// `pap` among its words.
#[rustfmt::skip]
const FIELDS: &[&str] = &[
    "traffic_light", "traffic_light_protocol", "handling", "handling_code", "handling_caveat", "caveat", "caveats", "sharing",
    "sharing_level", "dissemination", "releasability", "protective_marking", "security_marking", "data_marking",
    "security_classification", "data_classification", "restriction", "restrictions",
];

/// Names of columns and fields that may hold labels, and other things as well (`classification`: phishing).
#[rustfmt::skip]
const MIXED_FIELDS: &[&str] = &[
    "classification", "marking", "markings", "confidentiality", "sensitivity", "distribution", "level", "color", "colour",
];

/// What a column or field holds, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Nothing but handling labels: what is not understood there is one that is not understood.
    Labels,
    /// Handling labels among other words.
    Mixed,
    /// Something else.
    Other,
}

/// Reads a text that is a label as a whole: a tag or a cell. `None` if it is another tag.
#[must_use]
pub fn label(text: &str) -> Option<Handling> {
    let folded = fold(text);
    if let Some(iep) = iep(&folded) {
        return Some(iep);
    }
    let namespace = namespace(&folded);
    // `ais-marking:TLPMarking="WHITE"`: what names a TLP in a namespace of its own.
    let inner = namespace.filter(|name| !matches!(*name, "tlp" | "pap"));
    let inner = inner.and_then(|_| folded.split_once([':', '='])).map(|(_, inner)| inner);
    let folded = inner.unwrap_or(&folded);
    let words = words(folded);
    let mut said = Handling::default();
    let mut rest = false;
    let mut named = false;
    let mut at = 0;
    while at < words.len() {
        match read(folded, &words, at) {
            Some(Read { handling, next, .. }) => {
                named |= handling != Handling::default();
                said.floor = said.floor.max(handling.floor);
                said.pap = said.pap.max(handling.pap);
                said.unclear |= handling.unclear;
                at = next;
            }
            None => {
                rest = true;
                at += 1;
            }
        }
    }
    if !named {
        let plain = words.iter().map(|word| &folded[word.clone()]).collect::<Vec<_>>().join(" ");
        let limit = LIMITS.contains(&&*plain);
        return (namespace.is_some() || limit).then_some(Handling { unclear: true, ..Handling::default() });
    }
    // `tlp:green members-only` says more than is read here, and `#not-tlp:red` something else.
    said.unclear |= rest;
    said.tlp = said.floor.filter(|_| !said.unclear);
    Some(said)
}

/// Reads a text in a field that can hold nothing but a label: here `red` alone is one. `None` if it is empty or says that
/// there is none; whatever else it holds is not understood.
#[must_use]
pub fn label_in_field(text: &str) -> Option<Handling> {
    let folded = fold(text);
    let words: Vec<&str> = words(&folded).into_iter().map(|word| &folded[word]).collect();
    let joined = words.concat();
    if words.is_empty()
        || matches!(
            &*joined,
            "none" | "null" | "na" | "unmarked" | "unknown" | "public" | "open" | "unclassified"
        )
    {
        return None;
    }
    if let Some((_, tlp)) = TLP_WORDS.iter().find(|(word, _)| *word == joined) {
        return Some(Handling { tlp: Some(*tlp), floor: Some(*tlp), ..Handling::default() });
    }
    Some(label(text).unwrap_or(Handling { unclear: true, ..mention(text) }))
}

/// The PAP that a text means, with `pap` before it or without.
pub(super) fn pap(text: &str) -> Option<Pap> {
    let folded = fold(text);
    let joined: String = words(&folded).into_iter().map(|word| &folded[word]).collect();
    let alone = PAP_WORDS.iter().find(|(word, _)| *word == joined).map(|row| row.1);
    alone.or_else(|| label(text).filter(|said| !said.unclear && said.floor.is_none())?.pap)
}

/// Whether a word alone, without `tlp` before it, would mean a TLP where nothing else can stand.
#[must_use]
pub fn is_colour(text: &str) -> bool {
    // Asked of every cell of a table: the first letter tells nearly always.
    let first = text.chars().find(|c| c.is_alphanumeric());
    if text.len() > 80 || !first.is_some_and(|c| !c.is_ascii() || "cwgar".contains(c.to_ascii_lowercase())) {
        return false;
    }
    let folded = fold(text);
    let joined: String = words(&folded).into_iter().map(|word| &folded[word]).collect();
    TLP_WORDS.iter().any(|(word, _)| *word == joined)
}

/// What a column or field of this name holds.
#[must_use]
pub fn field(name: &str) -> Field {
    let folded = fold(name);
    let name = words(&folded).into_iter().map(|word| &folded[word]).collect::<Vec<_>>().join("_");
    if FIELDS.contains(&&*name) || name.split('_').any(|word| matches!(word, "tlp" | "pap")) {
        Field::Labels
    } else if MIXED_FIELDS.contains(&&*name) {
        Field::Mixed
    } else {
        Field::Other
    }
}

/// Reads a text in a field of that name. `None` where it says nothing of handling.
#[must_use]
pub fn label_in(field: Field, text: &str) -> Option<Handling> {
    match field {
        Field::Labels => label_in_field(text),
        Field::Mixed if is_colour(text) || label(text).is_some() => label_in_field(text),
        Field::Mixed | Field::Other => None,
    }
}

/// Reads several tags in one text, apart by commas and the like. Where tags stand apart by spaces, each word is read alone; else
/// what is no label as a whole only binds.
#[must_use]
pub fn labels(text: &str, spaces: Spaces) -> Handling {
    // Where a text is none of tags, only what it names counts.
    if spaces == Spaces::Within && !may_name(text.as_bytes()) {
        return Handling::default();
    }
    let mut all = mention(text);
    for tag in text.split([',', ';', '|', '#', '\n']).filter(|tag| !tag.trim().is_empty()) {
        match (label(tag), spaces) {
            (Some(said), _) if !said.unclear => all.join(said),
            (said, Spaces::Apart) => {
                let mut words = tag.split_whitespace().filter_map(label).peekable();
                if words.peek().is_none() {
                    all.join(said.unwrap_or_default());
                }
                words.for_each(|said| all.join(said));
            }
            (_, Spaces::Within) => {}
        }
    }
    all
}

/// What a space in a text of several tags is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spaces {
    /// It stands between tags.
    Apart,
    /// It stands within a tag, or the text is none of tags.
    Within,
}

/// Reads a comment that stands alone: a label at its beginning, or behind a word and a colon (`Classification: TLP:AMBER`),
/// states; one among other words binds.
#[must_use]
pub fn comment(text: &str) -> Handling {
    if !may_name(text.as_bytes()) && !text.contains([':', '=']) {
        return Handling::default();
    }
    let mut said = mention(text);
    let folded = fold(text);
    let words = words(&folded);
    // `TLP white paper` is none: a word that stands apart is a label where nothing follows.
    let begins = |at: usize| {
        read(&folded, &words, at)
            .is_some_and(|read| read.handling.floor.is_some() && (read.claims || read.next == words.len()))
    };
    let keyed = words.len() > 1 && {
        let between = &folded[words[0].end..words[1].start];
        between.trim_start().starts_with([':', '=']) && begins(1)
    };
    if !said.unclear && (keyed || !words.is_empty() && begins(0)) {
        said.tlp = said.floor;
    }
    // `Classification: confidential`: a field, in a comment.
    if said == Handling::default()
        && let Some((key, value)) = text.split_once([':', '='])
        && let Some(label) = label_in(field(key), value)
    {
        return label;
    }
    said
}

/// What labels a text names among its other words: it states nothing, and binds.
#[must_use]
pub fn mention(text: &str) -> Handling {
    let mut all = Handling::default();
    mentions(text, |said, _| all.join(said));
    all
}

/// As [`mention`], label by label, each with its words.
pub fn mentions(text: &str, mut take: impl FnMut(Handling, &str)) {
    if !may_name(text.as_bytes()) {
        return;
    }
    let folded = fold(text);
    let words = words(&folded);
    let mut at = 0;
    while at < words.len() {
        match read(&folded, &words, at) {
            Some(Read { handling, next, claims }) => {
                // In running text only what is written as a label is one: `tlp:purple`, and not `the TLP says`.
                if claims || !handling.unclear {
                    take(handling, &folded[words[at].start..words[next - 1].end]);
                }
                at = next;
            }
            None => at += 1,
        }
    }
}

/// The strictest TLP that a text names, in any spelling or as the id of a STIX marking definition. Texts that are not UTF-8 or
/// hold escapes of JSON are read as well.
#[must_use]
pub fn strictest_in(bytes: &[u8]) -> Option<Tlp> {
    const ID: &[u8] = b"marking-definition--";
    /// What a report lists, which may be definitions that mark others.
    const LISTED: &[u8] = b"\"object_refs\"";
    let mut strictest = None;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest[0] == b'"' && rest.starts_with(LISTED) {
            at += rest.iter().position(|byte| *byte == b']').unwrap_or(LISTED.len());
        } else if rest[0] == b'm' && rest.starts_with(ID) {
            let id = rest.get(..ID.len() + 36).and_then(|id| std::str::from_utf8(id).ok());
            strictest = strictest.max(id.and_then(Tlp::from_stix_id));
        }
        at += 1;
    }
    let text = String::from_utf8_lossy(bytes);
    strictest.max(mention(&unescaped(&text)).floor)
}

/// With the escapes of JSON for characters undone: `TLP\u003aRED` names a label.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        out.push_str(&rest[..at]);
        let digits = rest.get(at + 2..at + 6).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match digits.and_then(char::from_u32) {
            Some(c) => {
                out.push(c);
                rest = &rest[at + 6..];
            }
            None => {
                out.push_str("\\u");
                rest = &rest[at + 2..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Cheap, and true for all texts that name a label.
fn may_name(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(at, byte)| match byte | 0x20 {
        b't' => begins_with(&bytes[at..], b"tlp") || begins_with(&bytes[at..], b"traffic"),
        b'p' => begins_with(&bytes[at..], b"pap"),
        // Wide letters, or characters that are not seen, among those of the word.
        _ => {
            matches!(bytes[at..], [0xef, 0xbb..=0xbd, ..] | [0xe2, 0x80 | 0x81, ..] | [0xc2, 0xad, ..])
        }
    })
}

fn begins_with(bytes: &[u8], word: &[u8]) -> bool {
    bytes.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
}

/// What a label is called whatever its spelling: its words in lower case, apart by spaces.
#[must_use]
pub fn key(text: &str) -> String {
    let folded = fold(text);
    words(&folded).into_iter().map(|word| &folded[word]).collect::<Vec<_>>().join(" ")
}

/// In lower case, with the wide forms of letters and signs as plain ones, and without characters that are not seen.
fn fold(text: &str) -> String {
    let wide = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c => c,
    };
    let unseen = |c: &char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}');
    text.chars().filter(|c| !unseen(c)).map(|c| wide(c).to_ascii_lowercase()).collect()
}

/// Where the words of a text stand: runs of letters and digits.
fn words(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut words = Vec::new();
    let mut begun = None;
    for (at, c) in text.char_indices() {
        match (c.is_alphanumeric(), begun) {
            (true, None) => begun = Some(at),
            (false, Some(from)) => {
                words.push(from..at);
                begun = None;
            }
            _ => {}
        }
    }
    words.extend(begun.map(|from| from..text.len()));
    words
}

/// The namespace of a tag, if it is one of handling.
fn namespace(folded: &str) -> Option<&'static str> {
    let tag = folded.trim().trim_start_matches(['#', '[', '(', '"']);
    NAMESPACES
        .iter()
        .find(|name| tag.strip_prefix(**name).is_some_and(|rest| rest.trim_start().starts_with([':', '='])))
        .copied()
        .or_else(|| matches!(tag.trim(), "tlp" | "pap").then_some("tlp"))
}

/// A tag of the Information Exchange Policy. Its TLP is a floor: IEP knows only four.
fn iep(folded: &str) -> Option<Handling> {
    let (name, rest) = folded.trim().split_once(':')?;
    if !matches!(name, "iep" | "iep2-policy" | "iep2-reference") {
        return None;
    }
    let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
    Some(iep_statement(key.trim(), value.trim().trim_matches('"')))
}

/// What one statement of an IEP says, of a tag or of a marking object: by its name and value.
#[must_use]
pub fn iep_statement(key: &str, value: &str) -> Handling {
    let (key, value) = (fold(key).replace(['-', ' '], "_"), fold(value));
    match &*key {
        "tlp" | "traffic_light_protocol" => {
            let said = label_in_field(&value).unwrap_or(Handling { unclear: true, ..Handling::default() });
            Handling { tlp: None, ..said }
        }
        "permitted_actions" => {
            let name = value.replace([' ', '_'], "-");
            let pap = IEP_ACTIONS.iter().find(|(action, _)| *action == name).map(|(_, pap)| *pap);
            Handling { pap, unclear: pap.is_none(), ..Handling::default() }
        }
        // These are shown, and bind nothing that a node decides.
        _ => Handling::default(),
    }
}

/// What was read of a label that begins at a word.
struct Read {
    handling: Handling,
    /// The word behind it.
    next: usize,
    /// It is written as a label: a colon, a dash or the like joins its words, or they are one.
    claims: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Scale {
    Tlp,
    Pap,
}

/// The label that begins at a word, if one does.
fn read(text: &str, words: &[std::ops::Range<usize>], at: usize) -> Option<Read> {
    let word = |at: usize| words.get(at).map(|word| &text[word.clone()]);
    let between = |at: usize| match (at.checked_sub(1).and_then(|before| words.get(before)), words.get(at)) {
        (Some(before), Some(word)) => &text[before.end..word.start],
        _ => "",
    };
    let first = word(at)?;
    let (scale, mut glued, mut next) = match first {
        "traffic" if word(at + 1) == Some("light") && word(at + 2) == Some("protocol") => {
            (Scale::Tlp, "", at + 3)
        }
        _ => {
            let tlp = first.strip_prefix("tlp").map(|rest| (Scale::Tlp, rest));
            let (scale, rest) = tlp.or_else(|| first.strip_prefix("pap").map(|rest| (Scale::Pap, rest)))?;
            (scale, rest, at + 1)
        }
    };
    if let Some(rest) = FILLERS.iter().find_map(|filler| glued.strip_prefix(filler)) {
        glued = rest;
    }
    let mut claims = true;
    if glued.is_empty() {
        // The words that only say what comes.
        while next < words.len() && FILLERS.contains(&word(next)?) && joins(between(next)) && next - at < 6 {
            next += 1;
        }
        let sign = between(next);
        claims = written_as_label(sign);
        if next >= words.len() || !joins(sign) {
            // `TLP` alone.
            let unclear = Handling { unclear: true, ..Handling::default() };
            return Some(Read { handling: unclear, next, claims: false });
        }
        if NOTHING.contains(&word(next)?) {
            return Some(Read { handling: Handling::default(), next: next + 1, claims: false });
        }
        glued = word(next)?;
        next += 1;
    } else if !meant(scale, glued).is_known() {
        // `papers`, `tlpool`, `pap1`.
        return None;
    }
    let mut handling = meant(scale, glued);
    if scale == Scale::Pap && !claims {
        return None;
    }
    loop {
        let (sign, following) = (between(next), word(next).unwrap_or_default());
        if following == "strict" && handling.floor == Some(Tlp::Amber) && sign.chars().count() <= 3 {
            handling.floor = Some(Tlp::AmberStrict);
            next += 1;
            continue;
        }
        // `TLP:EX:CHR`: what is not known may have several words.
        if handling.unclear && claims && matches!(sign, ":" | "+" | "_" | "-") {
            next += 1;
            continue;
        }
        // `TLP:GREEN/AMBER`, `TLP:GREEN or AMBER`: the strictest.
        let ahead = if JOINING.contains(&following) { next + 1 } else { next };
        let joined =
            ahead > next || matches!(sign.trim(), "/" | "|" | "&" | "+") || matches!(sign, "-" | ",");
        let more = word(ahead).map(|word| meant(scale, word)).filter(Handling::is_known);
        match more {
            Some(more) if joined => {
                handling.floor = handling.floor.max(more.floor);
                handling.pap = handling.pap.max(more.pap);
                next = ahead + 1;
            }
            _ => break,
        }
    }
    Some(Read { handling, next, claims })
}

impl Handling {
    /// Takes another label into account that stands beside it.
    fn join(&mut self, other: Self) {
        self.tlp = self.tlp.max(other.tlp);
        self.floor = self.floor.max(other.floor);
        self.pap = self.pap.max(other.pap);
        self.unclear |= other.unclear;
    }

    fn is_known(&self) -> bool {
        self.floor.is_some() || self.pap.is_some()
    }
}

fn meant(scale: Scale, word: &str) -> Handling {
    let floor = TLP_WORDS.iter().find(|row| scale == Scale::Tlp && row.0 == word).map(|row| row.1);
    let pap = PAP_WORDS.iter().find(|row| scale == Scale::Pap && row.0 == word).map(|row| row.1);
    Handling { floor, pap, tlp: None, unclear: floor.is_none() && pap.is_none() }
}

/// Whether what stands between two words leaves them one label: no end of a sentence, of a list or of an object.
fn joins(sign: &str) -> bool {
    const LONGEST: usize = 6;
    let ends = |c: char| matches!(c, ',' | ';' | '.' | '!' | '?' | '{' | '}' | ')' | '/' | '\\');
    (sign == "." || !sign.contains(ends)) && sign.chars().filter(|c| !c.is_whitespace()).count() <= LONGEST
}

fn written_as_label(sign: &str) -> bool {
    sign.contains([':', '=', '-', '_', '+', '|'])
}

#[cfg(test)]
mod tests;
