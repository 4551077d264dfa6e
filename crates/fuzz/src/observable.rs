//! Observables: what people write, and what stands in bodies.

use tocsin_record::observable::{
    Detected, MAX_PARENTS, MAX_VALUE, Observable, ObservableRef, TYPES, Type, detect, refang,
};

/// What values are made of.
pub(crate) const WORDS: &[&str] = &[
    "hxxp://",
    "https://",
    "[.]",
    "(dot)",
    "[:]",
    "@",
    "/",
    "/32",
    "/128",
    "::",
    ":443",
    "%2e",
    "%00",
    "xn--",
    "CVE-",
    "AS",
    "pkg:npm/",
    "HKLM\\",
    "+49",
    "0x",
    "www.",
    ".example",
    ".co.uk",
    "192.0.2.1",
    "2001:db8::1",
    "..",
    "\u{202e}",
    "\u{feff}",
    "ß",
    "é",
    "1.2.3.4.5",
    "bc1q",
    "tel:",
    "mailto:",
    ":",
    "?",
    "#",
    "\\",
    " ",
];

/// The first byte chooses a type; the rest is a value as people write it, and again as bytes in a body.
pub fn observable(data: &[u8]) {
    let Some((choice, value)) = data.split_first() else {
        return;
    };
    let row = &TYPES[usize::from(*choice) % TYPES.len()];
    canonical(ObservableRef { kind: row.id, value });
    canonical(ObservableRef { kind: u16::from(*choice) << 8, value });
    for text in [data, value].into_iter().filter_map(|bytes| str::from_utf8(bytes).ok()) {
        written(row, text);
    }
}

fn written(row: &Type, text: &str) {
    let _ = refang(text);
    match detect(text) {
        Ok(Detected { observable, .. }) => parsed(&observable, text),
        Err(error) => shown(&error.to_string()),
    }
    match row.parse(text) {
        Ok(observable) => parsed(&observable, text),
        Err(error) => shown(&error.to_string()),
    }
}

/// What was parsed is in its one form, and is read again from what is shown.
fn parsed(observable: &Observable, text: &str) {
    assert!(observable.is_canonical(), "{text:?} became {observable:?}, which is not canonical");
    let shown = observable.show();
    let again = Type::by_id(observable.kind).map(|row| row.parse(&shown));
    assert!(
        matches!(&again, Some(Ok(again)) if again == observable),
        "{text:?} is shown as {shown:?}, which reads back as {again:?} instead of {observable:?}"
    );
    canonical(observable.borrowed());
}

/// Bytes that pass for canonical. That check is structural, so some are in a form that no parser writes: they are
/// shown and have parents like any other, and what their text means is something that is canonical.
fn canonical(observable: ObservableRef<'_>) {
    shown(&observable.to_string());
    let Some(row) = observable.row() else {
        return;
    };
    assert!(observable.value.len() <= MAX_VALUE);
    let text = observable.show();
    assert!(!text.chars().any(char::is_control), "{text:?} holds a control character");
    if let Ok(again) = row.parse(&text) {
        assert!(again.is_canonical(), "{text:?} became {again:?}, which is not canonical");
    }
    let mut parents = 0;
    observable.visit_parents(|parent| {
        parents += 1;
        assert!(parent != observable, "{text:?} is its own parent");
    });
    assert!(parents <= MAX_PARENTS, "{text:?} has {parents} parents");
    let _ = observable.breadth();
}

fn shown(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?} would reach a terminal");
}
