//! What sources write of handling, and how strict it is: told here by the standards (TLP 1.0 and 2.0, IEP, MISP's distribution)
//! and by what this product promises, that what it does not understand stays in the own circle. Nothing here asks the reader
//! that is being watched.

use tocsin_record::marking::Tlp;
use tocsin_sim::dice::Dice;

/// A spelling, and how strict what carries it is.
#[derive(Debug)]
pub struct Label {
    /// As it is written in its place.
    pub text: &'static str,
    /// At least this; `None` where it says nothing.
    pub level: Option<Tlp>,
}

const fn said(text: &'static str, level: Tlp) -> Label {
    Label { text, level: Some(level) }
}

const NOTHING: Label = Label { text: "", level: None };
/// Where what nobody understands stays: this org.
const UNKNOWN: Tlp = Tlp::AmberStrict;

/// A label of a table, the loose ones more often: what never leaves cannot leave wrongly.
pub fn draw(table: &'static [Label], dice: &mut Dice) -> &'static Label {
    let loose: Vec<&Label> = table.iter().filter(|label| label.level <= Some(Tlp::Green)).collect();
    if dice.percent(55) { loose[dice.index(loose.len())] } else { dice.pick(table) }
}

/// Marking-definitions that bundles carry.
pub const DEFINITIONS: &[&str] = &[
    r#"{"type":"marking-definition","spec_version":"2.1","id":"marking-definition--7f3c2a5e-1d7b-4a53-9a54-0f6c3b1d2e01","created":"2026-01-01T00:00:00Z","definition_type":"statement","definition":{"statement":"Copyright, all rights reserved"}}"#,
    r#"{"type":"marking-definition","spec_version":"2.1","id":"marking-definition--7f3c2a5e-1d7b-4a53-9a54-0f6c3b1d2e02","created":"2026-01-01T00:00:00Z","extensions":{"extension-definition--762e2e97-ee51-43e5-a9ea-165fbb862c4a":{"extension_type":"property-extension","iep_version":"2.0","tlp":"amber"}}}"#,
    r#"{"type":"marking-definition","spec_version":"2.1","id":"marking-definition--7f3c2a5e-1d7b-4a53-9a54-0f6c3b1d2e03","created":"2026-01-01T00:00:00Z","definition_type":"statement","definition":{"statement":"custom"},"x_opencti_definition_type":"TLP","x_opencti_definition":"TLP:RED"}"#,
    r#"{"type":"marking-definition","spec_version":"2.1","id":"marking-definition--7f3c2a5e-1d7b-4a53-9a54-0f6c3b1d2e04","created":"2026-01-01T00:00:00Z","definition_type":"statement","definition":{"statement":"TLP:GREEN"}}"#,
];

/// Of a STIX object: fields that stand behind the others.
pub static STIX: &[Label] = &[
    NOTHING,
    // TLP 2.0 and 1.0, by reference.
    said(
        r#","object_marking_refs":["marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"]"#,
        Tlp::Clear,
    ),
    said(
        r#","object_marking_refs":["marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"]"#,
        Tlp::Clear,
    ),
    said(
        r#","object_marking_refs":["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"]"#,
        Tlp::Green,
    ),
    said(
        r#","object_marking_refs":["marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"]"#,
        Tlp::Green,
    ),
    said(
        r#","object_marking_refs":["marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"]"#,
        Tlp::Amber,
    ),
    said(
        r#","object_marking_refs":["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"]"#,
        Tlp::Amber,
    ),
    said(
        r#","object_marking_refs":["marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"]"#,
        Tlp::AmberStrict,
    ),
    said(r#","object_marking_refs":["marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"]"#, Tlp::Red),
    said(r#","object_marking_refs":["marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"]"#, Tlp::Red),
    // Several, and of a part.
    said(
        r#","object_marking_refs":["marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487","marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"]"#,
        Tlp::Red,
    ),
    said(
        r#","object_marking_refs":["marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"],"granular_markings":[{"marking_ref":"marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421","selectors":["pattern"]}]"#,
        Tlp::Amber,
    ),
    // Definitions of the bundle, and one that nobody has.
    said(r#","object_marking_refs":["marking-definition--7f3c2a5e-1d7b-4a53-9a54-0f6c3b1d2e01"]"#, UNKNOWN),
    said(
        r#","object_marking_refs":["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb","marking-definition--7f3c2a5e-1d7b-4a53-9a54-0f6c3b1d2e02"]"#,
        Tlp::Amber,
    ),
    said(r#","object_marking_refs":["marking-definition--7f3c2a5e-1d7b-4a53-9a54-0f6c3b1d2e03"]"#, Tlp::Red),
    said(
        r#","object_marking_refs":["marking-definition--7f3c2a5e-1d7b-4a53-9a54-0f6c3b1d2e04"]"#,
        Tlp::Green,
    ),
    said(r#","object_marking_refs":["marking-definition--7f3c2a5e-1d7b-4a53-9a54-0f6c3b1d2e0f"]"#, UNKNOWN),
    // Outside of the standard: labels, fields, words.
    said(r#","labels":["tlp:clear"]"#, Tlp::Clear),
    said(r#","labels":["TLP: RED"]"#, Tlp::Red),
    said(r#","labels":["tlp:ex:chr"]"#, UNKNOWN),
    said(r#","x_tlp":"green""#, Tlp::Green),
    said(r#","x_handling":{"tlp":"red"}"#, Tlp::Red),
    said(
        r#","object_marking_refs":["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"],"description":"not to be passed on, TLP:RED""#,
        Tlp::Red,
    ),
    said(
        r#","object_marking_refs":["marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"],"description":"taken from a TLP:AMBER note""#,
        Tlp::Amber,
    ),
];

/// Of a MISP event.
pub static EVENT: &[Label] = &[
    said(r#","distribution":"3""#, Tlp::Green),
    said(r#","distribution":3,"Tag":[{"name":"tlp:white"}]"#, Tlp::Clear),
    said(r#","distribution":"3","Tag":[{"name":"TLP:GREEN"}]"#, Tlp::Green),
    said(r#","distribution":"3","Tag":[{"name":"tlp:clear"}]"#, Tlp::Clear),
    said(r#","distribution":"3","Tag":[{"name":"tlp-green"}]"#, Tlp::Green),
    said(r#","distribution":"3","Tag":[{"name":"TLP AMBER"}]"#, Tlp::Amber),
    said(r#","distribution":"3","Tag":[{"name":"tlp:green"},{"name":"TLP: RED"}]"#, Tlp::Red),
    said(r#","distribution":"3","EventTag":[{"Tag":{"name":"tlp:amber+strict"}}]"#, Tlp::AmberStrict),
    said(r#","distribution":"3","Tag":[{"name":"TLP:EX:CHR"}]"#, UNKNOWN),
    said(r#","distribution":"3","Tag":[{"name":"iep2-policy:tlp=\"amber\""}]"#, Tlp::Amber),
    said(r#","distribution":0,"Tag":[{"name":"tlp:clear"}]"#, Tlp::AmberStrict),
    said(r#","distribution":"1""#, Tlp::Amber),
    said(r#","distribution":"4","sharing_group_id":"7","Tag":[{"name":"tlp:green"}]"#, Tlp::Amber),
    said(r#","distribution":"9""#, UNKNOWN),
];

/// Of an attribute, within its event.
pub static ATTRIBUTE: &[Label] = &[
    NOTHING,
    Label { text: r#","distribution":"5""#, level: None },
    Label { text: r#","distribution":3,"Tag":[]"#, level: None },
    said(r#","Tag":[{"name":"tlp:green"}]"#, Tlp::Green),
    said(r#","AttributeTag":[{"Tag":{"name":"tlp:amber"}}]"#, Tlp::Amber),
    said(r#","Tag":[{"name":"Tlp:Red"}]"#, Tlp::Red),
    said(r#","Tag":[{"name":"tlp:purple"}]"#, UNKNOWN),
    said(r#","distribution":"0""#, Tlp::AmberStrict),
    said(r#","distribution":1"#, Tlp::Amber),
    said(r#","comment":"supersedes our TLP:AMBER note""#, Tlp::Amber),
];

/// Of a line of a list, in a cell or behind a comment sign.
pub static CELL: &[Label] = &[
    NOTHING,
    said("TLP:CLEAR", Tlp::Clear),
    said("tlp:white", Tlp::Clear),
    said("TLP:GREEN", Tlp::Green),
    said("TLP: AMBER", Tlp::Amber),
    said("tlp-amber-strict", Tlp::AmberStrict),
    said("TLP_RED", Tlp::Red),
    said("tlp:purple", UNKNOWN),
];

/// Of a whole list, in comments at its head.
pub static HEAD: &[Label] = &[
    NOTHING,
    said("# TLP:CLEAR\n", Tlp::Clear),
    said("# Classification: TLP:GREEN\n", Tlp::Green),
    said("# this list is TLP:AMBER\n", Tlp::Amber),
    said("# Classification: confidential\n", UNKNOWN),
];
