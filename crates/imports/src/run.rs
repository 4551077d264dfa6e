//! One story through the nodes, looked at after each file.

use anyhow::Result;

use crate::nodes::Nodes;
use crate::oracle::{After, Seen, Violation, marking, newest};
use crate::story::Story;
use crate::truth::Truth;

/// What came of a story.
#[derive(Debug, Default)]
pub struct Report {
    /// How many files were imported.
    pub imports: usize,
    /// How many values the partner knows at the end.
    pub shared: usize,
    /// The promise that was broken, and after how many files.
    pub violation: Option<Violation>,
}

/// Runs a story. `space` is where its ids and values lie.
///
/// # Errors
/// When a node fails.
pub fn run(nodes: &Nodes, story: &Story, space: u64) -> Result<Report> {
    let mut report = Report::default();
    let (mut before, mut truth) = (Truth::new(story.flag), Truth::new(story.flag));
    let pairs = story.values();
    let values: Vec<String> = pairs.iter().map(|(_, value)| (*value).to_owned()).collect();
    let seen = |known: Vec<_>| {
        let with = pairs.iter().zip(known);
        with.map(|((object, value), known)| Seen { object: *object, value, known }).collect::<Vec<_>>()
    };
    for at in &story.order {
        let file = &story.files[*at];
        let from = nodes.now();
        let summary = nodes.import(space, file, story.flag)?;
        truth.import(file);
        report.imports += 1;
        let after = After {
            story,
            file,
            before: &before,
            truth: &truth,
            summary: &summary,
            published: &nodes.published(from)?,
            own: &seen(nodes.known(&values)?),
        };
        if let Err(violation) = marking::check(&after).and_then(|()| newest::check(&after)) {
            report.violation = Some(violation);
            return Ok(report);
        }
        before.import(file);
    }
    let partner = seen(nodes.known_to_partner(&values)?);
    report.shared = partner.iter().filter(|seen| !seen.known.hits.is_empty()).count();
    report.violation =
        marking::check_partner(&partner, &truth).and_then(|()| newest::check_partner(&partner, &truth)).err();
    Ok(report)
}
