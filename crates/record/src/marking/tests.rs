use super::*;
use proptest::prelude::*;

fn encode(marking: &Marking) -> Vec<u8> {
    bincode::encode_to_vec(marking, bincode::config::standard()).unwrap()
}

fn decode(bytes: &[u8]) -> Result<Marking, bincode::error::DecodeError> {
    bincode::decode_from_slice(bytes, bincode::config::standard()).map(|(marking, _)| marking)
}

fn country(code: &str) -> CountryCode {
    code.parse().unwrap()
}

fn full() -> Marking {
    Marking {
        tlp: Tlp::AmberStrict,
        pap: Some(Pap::Amber),
        personal: Personal::Yes,
        purposes: vec![Code::purpose("drill").unwrap(), Code::purpose("network-defence").unwrap()],
        legal_basis: Some("Act 7".into()),
        retain_until: Some(1_700_000_000_000),
        countries: Countries::except([country("ZZ"), country("AA")]),
        police: Some("B2 H1 H3".parse().unwrap()),
        references: vec![Reference::new("siena", "123-456-1").unwrap()],
        exercise: true,
        codes: vec![Code { kind: 700, value: vec![9, 8] }],
    }
}

#[test]
fn bytes_are_pinned() {
    assert_eq!(encode(&Marking::new(Tlp::Green)), [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut golden = vec![4, 1, 3, 2];
    golden.extend([2, 1, 5]);
    golden.extend(b"drill");
    golden.extend([2, 0]);
    golden.extend([1, 5]);
    golden.extend(b"Act 7");
    golden.extend([1, 253, 0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00]);
    golden.extend([2, 2]);
    golden.extend(b"AAZZ");
    golden.extend([1, 1, 2, 2, 0b1010]);
    golden.extend([1, 2, 0, 9]);
    golden.extend(b"123-456-1");
    golden.push(1);
    golden.extend([1, 251, 0xbc, 0x02, 2, 9, 8]);
    assert_eq!(encode(&full()), golden);
    assert_eq!(decode(&golden).unwrap(), full());
    full().check().unwrap();
}

#[test]
fn numbers_of_the_tables_are_pinned() {
    let purpose = |name: &str| Code::purpose(name).unwrap();
    assert_eq!(purpose("none").kind, 0);
    assert_eq!(purpose("network-defence").kind, 2);
    assert_eq!(purpose("statistics").kind, 11);
    assert_eq!(purpose("my"), Code { kind: 1, value: b"my".to_vec() });
    assert_eq!(Code::known_purpose(" Network_Defence ").unwrap(), purpose("network-defence"));
    for wrong in ["network-defense", "none", "", "drill"] {
        let error = Code::known_purpose(wrong).unwrap_err().to_string();
        assert!(Code::purpose_names().all(|name| error.contains(name)), "{error}");
    }
    assert_eq!(Code::system("I-24/7").unwrap().kind, 3);
    assert_eq!(Code::system("stix").unwrap().kind, 8);
    for kind in (0..=11).filter(|kind| *kind != 1) {
        let code = Code { kind, value: Vec::new() };
        assert_eq!(purpose(code.purpose_name().unwrap()), code);
    }
}

#[test]
fn labels_are_read_as_people_write_them() {
    for (text, tlp) in [
        ("TLP:AMBER+STRICT", Tlp::AmberStrict),
        ("tlp:white", Tlp::Clear),
        ("Green", Tlp::Green),
        (" tlp:red ", Tlp::Red),
        ("amber", Tlp::Amber),
        ("TLP: AMBER", Tlp::Amber),
    ] {
        assert_eq!(text.parse::<Tlp>().unwrap(), tlp, "{text}");
    }
    for text in ["", "TLP:", "tlp:unclear", "tlp:ex:chr", "TLP:RED, and more", "pap:red", "é"] {
        assert!(text.parse::<Tlp>().is_err(), "{text}");
    }
    assert_eq!("PAP:WHITE".parse::<Pap>().unwrap(), Pap::Clear);
    assert_eq!("pap:amber".parse::<Pap>().unwrap(), Pap::Amber);
    assert!("tlp:amber".parse::<Pap>().is_err() && "".parse::<Pap>().is_err());
    assert!("purple".parse::<Pap>().unwrap_err().to_string().contains("`purple`"));
    for tlp in Tlp::ALL {
        assert_eq!(Tlp::from_stix_id(tlp.stix_id()), Some(tlp));
        assert_eq!(tlp.misp_tag().parse(), Ok(tlp));
        assert_eq!(tlp.to_string().parse(), Ok(tlp));
        assert_eq!(Tlp::from_code(tlp.code()), Some(tlp));
        if let Some(old) = tlp.stix_1_id() {
            assert_eq!(Tlp::from_stix_id(old), Some(tlp));
        }
    }
    assert_eq!(Tlp::from_code(0), None);
    assert_eq!("X4,h2/H0".parse::<Police>().unwrap().to_string(), "X4 H0 H2");
    for text in ["", "D1", "A5", "A0", "H4", "A1 B2", "A12"] {
        assert!(text.parse::<Police>().is_err(), "{text}");
    }
}

#[test]
fn bytes_off_the_scales_are_refused() {
    let good = encode(&full());
    for (at, bad) in [(0, 0), (0, 6), (2, 0), (2, 5), (3, 3)] {
        let mut bytes = good.clone();
        bytes[at] = bad;
        assert!(decode(&bytes).is_err(), "byte {at} = {bad}");
    }
    let mut lower = good.clone();
    let country_at = good.windows(2).position(|pair| pair == b"AA").unwrap();
    lower[country_at] = b'a';
    assert!(decode(&lower).is_err(), "a country in lower case");
    for cut in 0..good.len() {
        assert!(decode(&good[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn check_finds_each_break_of_form() {
    type Break = (fn(&mut Marking), MarkingError);
    let breaks: [Break; 11] = [
        (|m| m.purposes.reverse(), MarkingError::Unsorted("purposes")),
        (|m| m.codes.push(m.codes[0].clone()), MarkingError::Unsorted("codes")),
        (|m| m.countries = Countries::Except(vec![]), MarkingError::Unsorted("countries")),
        (
            |m| m.countries = Countries::Only(vec![CountryCode::new(*b"BB").unwrap(); 2]),
            MarkingError::Unsorted("countries"),
        ),
        (|m| m.legal_basis = Some("x".repeat(513)), MarkingError::TooLong("the legal basis")),
        (|m| m.legal_basis = Some("a\u{1b}[2J".into()), MarkingError::Control("the legal basis")),
        (
            |m| m.codes = (0..33).map(|kind| Code { kind, value: vec![] }).collect(),
            MarkingError::TooMany("codes"),
        ),
        (
            |m| m.police = Some(Police { evaluation: None, handling: Handling::default() }),
            MarkingError::EmptyPolice,
        ),
        (|m| m.codes[0].value = vec![0; 513], MarkingError::TooLong("a code")),
        (|m| m.purposes = vec![Code { kind: 2, value: vec![1] }], MarkingError::CodeForm(2)),
        (|m| m.purposes = vec![Code { kind: 1, value: b"research".to_vec() }], MarkingError::CodeForm(1)),
    ];
    for (break_it, error) in breaks {
        let mut marking = full();
        break_it(&mut marking);
        assert_eq!(marking.check(), Err(error));
    }
    let mut untidy = full();
    untidy.purposes.reverse();
    untidy.purposes.push(untidy.purposes[0].clone());
    assert_eq!(untidy.tidy(), full());
}

#[test]
fn newer_codes_are_kept_and_seen() {
    let mut marking = Marking::new(Tlp::Green);
    assert!(!marking.is_newer());
    marking.purposes = vec![Code { kind: 4_000, value: vec![1, 2] }];
    marking.check().unwrap();
    assert!(marking.is_newer());
    assert_eq!(decode(&encode(&marking)).unwrap(), marking);
}

#[test]
fn flag_word_is_pinned_and_checked() {
    assert_eq!(full().flags().word(), 0b01_1101);
    assert_eq!(Flags::from_word(0b01_1101), Ok(full().flags()));
    assert_eq!(Flags::from_word(0b110), Err(MarkingError::Flags(0b110)));
    assert_eq!(Flags::from_word(0b10_1000), Err(MarkingError::Flags(0b10_1000)));
    for word in 0..=u16::MAX {
        if let Ok(flags) = Flags::from_word(word) {
            assert_eq!(flags.word(), word);
        }
    }
    assert_eq!(Flags::from_word(0x8000).unwrap().newer, 0x8000);
}

#[test]
fn lists_without_a_common_member_leave_nobody() {
    let mut a = Marking::new(Tlp::Green);
    let mut b = Marking::new(Tlp::Green);
    a.countries = Countries::only([country("AA")]);
    b.countries = Countries::only([country("BB")]);
    a.purposes = vec![Code::purpose("research").unwrap()];
    b.purposes = vec![Code::purpose("statistics").unwrap()];
    let both = a.stricter(&b).unwrap();
    assert!(!both.countries.allows(country("AA")) && !both.countries.allows(country("BB")));
    assert_eq!(both.purposes, [Code::purpose("none").unwrap()]);
    b.exercise = true;
    assert_eq!(a.stricter(&b), Err(MarkingError::ExerciseMixed));
}

prop_compose! {
    fn any_countries()(kind in 0..3, bits in 0u8..16) -> Countries {
        let list = ["AA", "BB", "CC", "DD"].into_iter().enumerate()
            .filter(|(bit, _)| bits & 1 << bit != 0).map(|(_, code)| country(code));
        match kind {
            0 => Countries::Any,
            1 => Countries::only(list),
            _ => Countries::except(list),
        }
    }
}

prop_compose! {
    fn any_marking()(
        tlp in 0..5usize, pap in 0u8..5, personal in 0..3usize,
        purposes in proptest::collection::btree_set(0u16..6, 0..4),
        retain_until in proptest::option::of(0u64..4),
        countries in any_countries(), handling in 0u8..16,
        codes in proptest::collection::btree_set(20u16..24, 0..3),
    ) -> Marking {
        let mut marking = Marking::new(Tlp::ALL[tlp]);
        marking.pap = Pap::from_code(pap);
        marking.personal = Personal::ALL[personal];
        marking.purposes = purposes.into_iter().filter(|kind| *kind != 1)
            .map(|kind| Code { kind, value: vec![] }).collect();
        marking.retain_until = retain_until;
        marking.countries = countries;
        let all = ["H0", "H1", "H2", "H3"];
        let text: Vec<_> = (0..4).filter(|bit| handling & 1 << bit != 0).map(|bit| all[bit]).collect();
        marking.police = text.join(" ").parse().ok();
        marking.codes = codes.into_iter().map(|kind| Code { kind, value: vec![] }).collect();
        marking
    }
}

proptest! {
    #[test]
    fn combining_is_never_looser_and_keeps_its_form(a in any_marking(), b in any_marking()) {
        let both = a.stricter(&b).unwrap();
        both.check().unwrap();
        prop_assert!(!both.is_looser_than(&a), "looser than the first: {both:?}");
        prop_assert!(!both.is_looser_than(&b), "looser than the second: {both:?}");
        prop_assert!(!a.is_looser_than(&a));
        prop_assert_eq!(b.stricter(&a).unwrap(), both.clone());
        for code in ["AA", "BB", "CC", "DD", "EE"] {
            let code = country(code);
            prop_assert_eq!(both.countries.allows(code), a.countries.allows(code) && b.countries.allows(code));
        }
        prop_assert_eq!(decode(&encode(&both)).unwrap(), both);
    }
}
