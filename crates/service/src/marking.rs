//! Markings from words, as flags and requests have them.

use tocsin_api::types::MarkingWords;
use tocsin_record::marking::{
    Code, Countries, CountryCode, Marking, MarkingError, Pap, Personal, Reference, Tlp,
};

use super::NodeError;

fn refused(error: &MarkingError) -> NodeError {
    NodeError::Request(error.to_string())
}

/// The marking that words state; `None` if they say no TLP. `personal` is what the types of the values say.
pub(super) fn from_words(words: &MarkingWords, personal: Personal) -> Result<Option<Marking>, NodeError> {
    let Some(tlp) = &words.tlp else {
        let says_more = words != &MarkingWords::default();
        return if says_more {
            Err(NodeError::Request("a marking without a TLP binds nobody: give --tlp too".to_owned()))
        } else {
            Ok(None)
        };
    };
    let country = |text: &String| {
        let letters: Option<[u8; 2]> = text.trim().to_ascii_uppercase().into_bytes().try_into().ok();
        letters
            .and_then(CountryCode::new)
            .ok_or_else(|| refused(&MarkingError::Country(tocsin_text::cut(text, 20))))
    };
    let countries = |list: &[String]| list.iter().map(country).collect::<Result<Vec<_>, _>>();
    let mut marking = Marking::new(tlp.parse::<Tlp>().map_err(|error| refused(&error))?);
    marking.pap = words.pap.as_deref().map(str::parse::<Pap>).transpose().map_err(|error| refused(&error))?;
    let said =
        words.personal.as_deref().map(str::parse::<Personal>).transpose().map_err(|error| refused(&error))?;
    // Nothing that is said makes values less personal than they are.
    marking.personal = said.unwrap_or_default().max(personal);
    marking.purposes = words
        .purposes
        .iter()
        .map(|name| Code::known_purpose(name))
        .collect::<Result<_, _>>()
        .map_err(|error| refused(&error))?;
    marking.legal_basis.clone_from(&words.legal_basis);
    marking.retain_until = words.retain_until_ms;
    marking.countries = match (words.countries.is_empty(), words.not_countries.is_empty()) {
        (true, true) => Countries::Any,
        (false, true) => Countries::only(countries(&words.countries)?),
        (true, false) => Countries::except(countries(&words.not_countries)?),
        (false, false) => {
            return Err(NodeError::Request("give --countries or --not-countries, not both".to_owned()));
        }
    };
    marking.police = words.police.as_deref().map(str::parse).transpose().map_err(|error| refused(&error))?;
    for text in &words.references {
        let (system, id) = text.split_once(':').ok_or_else(|| {
            NodeError::Request(format!("`{}` is no reference: write SYSTEM:ID", tocsin_text::cut(text, 80)))
        })?;
        marking.references.push(Reference::new(system, id).map_err(|error| refused(&error))?);
    }
    marking.exercise = words.exercise;
    let marking = marking.tidy();
    marking.check().map_err(|error| refused(&error))?;
    Ok(Some(marking))
}

/// The marking of a copy: what stands, made no looser by what the words add.
pub(super) fn raised(
    standing: Option<&Marking>,
    words: &MarkingWords,
    personal: Personal,
) -> Result<Option<Marking>, NodeError> {
    match (standing, from_words(words, personal)?) {
        (Some(standing), Some(said)) => {
            // An exercise stays one, and what is real stays real: the words need not repeat it.
            let said = Marking { exercise: standing.exercise, ..said };
            Ok(Some(standing.stricter(&said).map_err(|error| refused(&error))?))
        }
        (Some(standing), None) => {
            Ok(Some(Marking { personal: standing.personal.max(personal), ..standing.clone() }))
        }
        (None, said) => Ok(said),
    }
}

/// The names of the purposes that a marking states.
pub(super) fn purposes(marking: &Marking) -> Vec<String> {
    marking.purposes.iter().map(|code| code.purpose_name().unwrap_or("newer").to_owned()).collect()
}

/// A marking as JSON, field by field.
pub(super) fn to_json(marking: &Marking) -> serde_json::Value {
    use tocsin_api::types::Time;
    let letters = |list: &[CountryCode]| -> Vec<String> {
        list.iter().map(|code| String::from_utf8_lossy(&code.letters()).into_owned()).collect()
    };
    let purposes = purposes(marking);
    let references: Vec<String> = marking
        .references
        .iter()
        .map(|reference| format!("{}:{}", reference.system.system_name().unwrap_or("newer"), reference.id))
        .collect();
    let mut out = serde_json::json!({ "tlp": marking.tlp.label(), "personal": marking.personal.name() });
    let mut put = |name: &str, value: serde_json::Value| {
        if let Some(object) = out.as_object_mut() {
            object.insert(name.to_owned(), value);
        }
    };
    if let Some(pap) = marking.pap {
        put("pap", pap.label().into());
    }
    if !purposes.is_empty() {
        put("purposes", purposes.into());
    }
    if let Some(basis) = &marking.legal_basis {
        put("legal_basis", basis.as_str().into());
    }
    if let Some(until) = marking.retain_until {
        put("retain_until", serde_json::to_value(Time(until)).unwrap_or_default());
    }
    match &marking.countries {
        Countries::Any => {}
        Countries::Only(list) => put("countries", letters(list).into()),
        Countries::Except(list) => put("not_countries", letters(list).into()),
    }
    if let Some(police) = &marking.police {
        put("police", police.to_string().into());
    }
    if !references.is_empty() {
        put("references", references.into());
    }
    if marking.exercise {
        put("exercise", true.into());
    }
    out
}

/// What may be done, in a sentence: TLP says how far it may go, PAP how it may be acted on.
pub(super) fn may(marking: Option<&Marking>) -> String {
    let Some(marking) = marking else {
        return "stay within this org: it carries no marking".to_owned();
    };
    let far = match marking.tlp {
        Tlp::Clear => "may be told to anyone",
        Tlp::Green => "may be told within the community, not in public",
        Tlp::Amber => "stays within your org and its clients who need to know",
        Tlp::AmberStrict => "stays within your org, for those who need to know",
        Tlp::Red => "stays with the people it was given to",
    };
    let act = match marking.pap {
        None => "",
        Some(Pap::Clear) => "; may be acted on in any way",
        Some(Pap::Green) => "; may be blocked and probed",
        Some(Pap::Amber) => "; may be looked up passively, nothing the adversary could see",
        Some(Pap::Red) => "; may be searched in own logs only",
    };
    format!("{far}{act}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_make_markings() {
        let words = MarkingWords {
            tlp: Some("green".to_owned()),
            pap: Some("amber".to_owned()),
            not_countries: vec!["xx".to_owned()],
            references: vec!["siena:12".to_owned()],
            ..MarkingWords::default()
        };
        let marking = from_words(&words, Personal::Possible).unwrap().unwrap();
        assert_eq!((marking.tlp, marking.personal), (Tlp::Green, Personal::Possible));
        assert_eq!(to_json(&marking)["not_countries"][0], "XX");
        assert_eq!(from_words(&MarkingWords::default(), Personal::No).unwrap(), None);
        let no_tlp = MarkingWords { exercise: true, ..MarkingWords::default() };
        assert!(from_words(&no_tlp, Personal::No).is_err());
        let wrong = MarkingWords { tlp: Some("blue".to_owned()), ..MarkingWords::default() };
        assert!(from_words(&wrong, Personal::No).is_err());
    }

    #[test]
    fn a_copy_is_never_looser() {
        let strict = Marking::new(Tlp::Amber);
        let words = MarkingWords { tlp: Some("clear".to_owned()), ..MarkingWords::default() };
        assert_eq!(raised(Some(&strict), &words, Personal::No).unwrap().unwrap().tlp, Tlp::Amber);
        assert_eq!(raised(None, &words, Personal::No).unwrap().unwrap().tlp, Tlp::Clear);
    }
}
