//! The live table: who holds how much of whom. Drawn over itself on a terminal, printed once elsewhere.

use std::io::Write as _;

use tocsin_api::types::Status;
use tocsin_cli::term::{self, Style};

/// A table that is drawn again and again at one place.
pub(super) struct Live {
    lines: usize,
    active: bool,
}

impl Live {
    pub(super) fn new(active: bool) -> Self {
        Self { lines: 0, active }
    }

    /// Draws the table, over the one before.
    pub(super) fn draw(&mut self, text: &str) {
        if !self.active {
            return;
        }
        let mut out = std::io::stdout().lock();
        let mut frame = String::new();
        if self.lines > 0 {
            frame.push_str(&format!("\x1b[{}A", self.lines));
        }
        for line in text.lines() {
            frame.push_str(&format!("\x1b[2K  {line}\n"));
        }
        // A line that is longer than the terminal is cut: were it wrapped, the next table would begin at another place.
        let frame = format!("\x1b[?7l{frame}\x1b[?7h");
        // A terminal that went away shows nothing; the story goes on to its checks.
        let _ = out.write_all(frame.as_bytes()).and_then(|()| out.flush());
        self.lines = text.lines().count();
    }

    /// Leaves the table as it stands; where nothing was drawn over and over, prints it once.
    pub(super) fn leave(&mut self, text: &str, loud: bool) {
        if self.active {
            self.draw(text);
        } else if loud {
            for line in text.lines() {
                println!("  {line}");
            }
        }
        self.lines = 0;
    }
}

/// Who holds how much of whom, in the mesh circle.
pub(super) fn holdings(all: &[(String, Option<Status>)]) -> String {
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
            row.push(format!("{} / {} / {}", store.accepted, store.held, store.refused));
            row
        })
        .collect();
    let mut headings = vec!["holds of"];
    headings.extend(&authors);
    headings.push("judged");
    term::table(&headings, &rows)
}

/// A line of the story, for people.
pub(super) fn heading(text: &str) {
    println!("\n{}", term::paint(Style::Bold, text));
}
