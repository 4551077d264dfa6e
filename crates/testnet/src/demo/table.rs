//! The tables: who holds how much of whom, and how long which warning took to whom.

use tocsin_api::types::Status;
use tocsin_cli::term;

use super::measure::Warned;

/// Who holds how much of whom, in the mesh circle.
pub(super) fn holdings(all: &[(String, Option<Status>)], room: usize) -> String {
    let authors: Vec<&str> = all.iter().map(|(org, _)| org.as_str()).collect();
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|(org, status)| {
            let mut row = vec![org.clone()];
            let Some(status) = status else {
                row.extend(authors.iter().map(|_| "-".to_owned()));
                row.push("stopped".to_owned());
                return row;
            };
            for author in &authors {
                let logs = status.logs.iter().filter(|log| log.author == *author && log.circle == "mesh");
                let held: u64 = logs.map(|log| log.height).sum();
                row.push(if held == 0 { ".".to_owned() } else { held.to_string() });
            }
            let store = &status.store;
            row.push(format!("{}/{}/{}", store.accepted, store.held, store.refused));
            row
        })
        .collect();
    let mut headings = vec!["holds of"];
    headings.extend(&authors);
    headings.push("judged");
    term::table_within(room, &headings, &rows)
}

/// How long the last warnings took to each org.
pub(super) fn delays(orgs: &[String], last: &[Warned], room: usize) -> String {
    let rows: Vec<Vec<String>> = last
        .iter()
        .map(|warned| {
            let cell = |org: &String| match warned.arrived.get(org) {
                _ if *org == warned.author => "author".to_owned(),
                Some(arrived) => arrived.to_string(),
                None => String::new(),
            };
            std::iter::once(warned.value.clone()).chain(orgs.iter().map(cell)).collect()
        })
        .collect();
    let headings: Vec<&str> = std::iter::once("warning").chain(orgs.iter().map(String::as_str)).collect();
    term::table_within(room, &headings, &rows)
}
