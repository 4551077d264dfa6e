use super::*;

const AMBER_STRICT: Option<Tlp> = Some(Tlp::AmberStrict);

#[test]
fn every_spelling_of_a_label_states_it() {
    for (text, tlp) in [
        ("tlp:red", Tlp::Red),
        ("TLP: RED", Tlp::Red),
        ("TLP RED", Tlp::Red),
        ("TLP :RED", Tlp::Red),
        ("tlp-red", Tlp::Red),
        ("tlp_red", Tlp::Red),
        ("tlpred", Tlp::Red),
        ("TLP=Red", Tlp::Red),
        ("TLP - Red", Tlp::Red),
        ("[TLP:RED]", Tlp::Red),
        ("#TLP:RED", Tlp::Red),
        ("(TLP:RED)", Tlp::Red),
        ("tlp:\"red\"", Tlp::Red),
        ("tlp:color=\"red\"", Tlp::Red),
        ("TLP level: red", Tlp::Red),
        ("TLPv2:RED", Tlp::Red),
        ("TLP 2.0: RED", Tlp::Red),
        ("TLP2.0:RED", Tlp::Red),
        ("Traffic Light Protocol: Red", Tlp::Red),
        ("tlp\u{ff1a}red", Tlp::Red),
        ("\u{ff34}\u{ff2c}\u{ff30}:\u{ff32}\u{ff25}\u{ff24}", Tlp::Red),
        ("TLP:\u{200b}RED", Tlp::Red),
        ("TLP:\u{a0}RED", Tlp::Red),
        (" \tTLP:RED\n", Tlp::Red),
        ("TLP\u{2013}RED", Tlp::Red),
        ("tlp:amber", Tlp::Amber),
        ("TLP AMBER", Tlp::Amber),
        ("TLP:AMBER+STRICT", Tlp::AmberStrict),
        ("TLP:AMBER + STRICT", Tlp::AmberStrict),
        ("tlp:amber-strict", Tlp::AmberStrict),
        ("tlp:amber_strict", Tlp::AmberStrict),
        ("TLP:AMBER STRICT", Tlp::AmberStrict),
        ("tlp-amber-strict", Tlp::AmberStrict),
        ("TLP:AmberStrict", Tlp::AmberStrict),
        ("tlpamberstrict", Tlp::AmberStrict),
        ("TLP:AMBER (STRICT)", Tlp::AmberStrict),
        ("TLP:GREEN/AMBER", Tlp::Amber),
        ("TLP:RED or TLP:GREEN", Tlp::Red),
        ("TLP:WHITE", Tlp::Clear),
        ("tlp:Clear", Tlp::Clear),
        ("TLP_GREEN", Tlp::Green),
    ] {
        let said = label(text).unwrap_or_else(|| panic!("`{text}` is no label"));
        // Two labels in one text are no more than the strictest of them.
        assert_eq!(said.floor, Some(tlp), "{text}");
        assert_eq!(said.tlp.is_some(), !text.contains(" or "), "{text}: {said:?}");
    }
    for (text, pap) in [
        ("PAP:RED", Pap::Red),
        ("pap: amber", Pap::Amber),
        ("PAP-GREEN", Pap::Green),
        ("PAP_WHITE", Pap::Clear),
        ("papred", Pap::Red),
    ] {
        assert_eq!(label(text).unwrap().pap, Some(pap), "{text}");
    }
}

#[test]
fn what_looks_like_a_label_and_is_not_known_is_unclear() {
    for text in [
        "TLP:EX:CHR",
        "tlp:unclear",
        "tlp:purple",
        "TLP: YELLOW",
        "tlp",
        "TLP:",
        "tlp:rot",
        "tlp:amber:members-only",
        "TLP:GREEN members only",
        "TLP:RED2",
        "pap:purple",
        "PAP:",
        "nato:classification=\"R\"",
        "fr-classif:classifcation=\"DR\"",
        "de-vs:Einstufung=\"VS-NfD\"",
        "dni-ism:classification:US=\"S\"",
        "euci:EU-R",
        "acs-marking:caveat=\"POE\"",
        "ais-marking:AISConsent=\"USG\"",
        "iep2-policy:tlp=\"blue\"",
        "iep2-policy:permitted_actions=\"some\"",
        "Confidential",
        "for official use only",
        "VS-NfD",
        "do not share",
        "tlp:1",
        "sharing:partners",
        "distribution: limited",
    ] {
        let said = label(text).unwrap_or_else(|| panic!("`{text}` is no label"));
        assert!(said.unclear && said.tlp.is_none(), "{text}: {said:?}");
    }
}

#[test]
fn other_tags_are_none() {
    for text in [
        "phishing",
        "papers",
        "tulip",
        "pap",
        "malware:red",
        "misp-galaxy:tool=\"Red\"",
        "Red October",
        "amber",
        "",
        "osint:lifetime=\"perpetual\"",
        "help:red",
        "clear",
        "rtlp",
        "pa p:red",
        "kill-chain:delivery",
        "internal-recon",
    ] {
        let said = label(text).filter(|_| text != "pap");
        assert_eq!(said, None, "{text}");
    }
}

#[test]
fn iep_is_a_floor_and_its_actions_are_a_pap() {
    let floor = |text: &str| label(text).map(|said| (said.tlp, said.floor, said.pap, said.unclear)).unwrap();
    assert_eq!(floor("iep2-policy:tlp=\"amber\""), (None, Some(Tlp::Amber), None, false));
    assert_eq!(floor("IEP:traffic-light-protocol=\"RED\""), (None, Some(Tlp::Red), None, false));
    for (action, pap) in IEP_ACTIONS {
        assert_eq!(
            floor(&format!("iep2-policy:permitted_actions=\"{action}\"")),
            (None, None, Some(*pap), false)
        );
    }
    assert_eq!(label("ais-marking:TLPMarking=\"AMBER\"").unwrap().tlp, Some(Tlp::Amber));
    assert_eq!(key("TLP:EX:CHR"), key(" tlp ex-chr"));
    assert_eq!(floor("iep2-policy:attribution=\"may\""), (None, None, None, false));
}

#[test]
fn a_field_of_labels_reads_their_words_alone() {
    let said = |text| label_in_field(text).map(|said| (said.tlp, said.unclear));
    for (text, tlp) in [
        ("red", Tlp::Red),
        ("AMBER+STRICT", Tlp::AmberStrict),
        ("Amber Strict", Tlp::AmberStrict),
        ("TLP-GREEN", Tlp::Green),
        (" White ", Tlp::Clear),
    ] {
        assert_eq!(said(text), Some((Some(tlp), false)), "{text}");
    }
    for text in ["blue", "2", "confidential", "internal", "members of X"] {
        assert_eq!(said(text), Some((None, true)), "{text}");
    }
    for text in ["", " ", "-", "n/a", "none", "null", "public"] {
        assert_eq!(said(text), None, "{text}");
    }
    for name in
        ["TLP", "tlp_level", "Traffic Light", "x_tlp", "Handling", "sharing", "PAP", "Protective marking"]
    {
        assert_eq!(field(name), Field::Labels, "{name}");
    }
    for name in ["Classification", "marking", "Sensitivity"] {
        assert_eq!(field(name), Field::Mixed, "{name}");
    }
    for name in ["value", "type", "share", "domain", "papers"] {
        assert_eq!(field(name), Field::Other, "{name}");
    }
    assert_eq!(label_in(Field::Mixed, "phishing"), None);
    assert_eq!(label_in(Field::Mixed, "AMBER").unwrap().tlp, Some(Tlp::Amber));
    assert!(label_in(Field::Mixed, "Internal use only").unwrap().unclear);
}

#[test]
fn tags_of_one_text_are_read_one_by_one() {
    let said = |text, spaces| {
        let said = labels(text, spaces);
        (said.tlp, said.floor, said.unclear)
    };
    for spaces in [Spaces::Apart, Spaces::Within] {
        assert_eq!(said("osint,tlp:green", spaces), (Some(Tlp::Green), Some(Tlp::Green), false));
        assert_eq!(said("#tlp:green #tlp:red", spaces), (Some(Tlp::Red), Some(Tlp::Red), false));
        assert_eq!(said("phishing; c2", spaces), (None, None, false));
    }
    assert_eq!(said("phishing tlp:green", Spaces::Apart), (Some(Tlp::Green), Some(Tlp::Green), false));
    assert_eq!(said("phishing tlp:ex:chr", Spaces::Apart), (None, None, true));
    // A sentence states nothing.
    assert_eq!(said("taken from a TLP:CLEAR report", Spaces::Within), (None, Some(Tlp::Clear), false));
}

#[test]
fn a_text_binds_by_what_it_names() {
    for (text, floor) in [
        ("Phishing hosts, this list is TLP:RED", Some(Tlp::Red)),
        ("supersedes our TLP:AMBER note", Some(Tlp::Amber)),
        ("see TLP Red, page 3", Some(Tlp::Red)),
        ("handled as TLP-AMBER+STRICT.", AMBER_STRICT),
        ("{\"x_tlp\": \"red\"}", Some(Tlp::Red)),
        ("{\"tlp_2_0\":\"amber+strict\"}", AMBER_STRICT),
        ("{\n \"tlp\":\n    \"red\"\n}", Some(Tlp::Red)),
        ("definitions of the TLP stand at first.org", None),
        ("the TLP. Red hats", None),
        ("[\"tlp\", \"red-team\"]", None),
        ("TLP:CLEAR - Red Menshen", Some(Tlp::Clear)),
        ("WdwjXCfTlP6B0RPVcYqLy8", None),
        ("a red pap smear", None),
    ] {
        let said = mention(text);
        assert_eq!((said.floor, said.tlp), (floor, None), "{text}");
        assert_eq!(strictest_in(text.as_bytes()), floor, "{text}");
    }
    assert!(mention("this is TLP:PURPLE").unclear && !mention("what TLP means").unclear);
    assert!(!mention("{\"tlp\":null}").unclear);
    assert_eq!(strictest_in(b"{\"a\":\"TLP\\u003aRED\"}"), Some(Tlp::Red));
    assert_eq!(strictest_in(b"\xff TLP:RED \xff"), Some(Tlp::Red));
    let listed = format!("{{\"object_refs\":[\"{}\"],\"x\":1}}", Tlp::Red.stix_id());
    assert_eq!(strictest_in(listed.as_bytes()), None);
    for tlp in Tlp::ALL {
        assert_eq!(strictest_in(tlp.label().as_bytes()), Some(tlp));
        assert_eq!(strictest_in(format!("x{}\"", tlp.stix_id()).as_bytes()), Some(tlp));
    }
}

#[test]
fn comments_state_where_a_label_begins_them() {
    let stated = |text| comment(text).tlp;
    for text in [
        "TLP:GREEN",
        "TLP: GREEN - our list",
        "tlp-green, weekly",
        "Classification: TLP:GREEN",
        "Marking = TLP GREEN",
        "TLP:GREEN.",
    ] {
        assert_eq!(stated(text), Some(Tlp::Green), "{text}");
    }
    for text in
        ["TLP white paper", "this list is TLP:GREEN", "taken from TLP:GREEN reports", "nothing at all"]
    {
        assert_eq!(stated(text), None, "{text}");
    }
    assert_eq!(comment("Sharing: amber").tlp, Some(Tlp::Amber));
    assert!(comment("Classification: confidential").unclear && comment("TLP:PURPLE").unclear);
    assert_eq!(comment("Source: https://feed.example/list"), Handling::default());
}
