//! What the demo is told on: lines that stay, as many columns as a report has anywhere, and on a terminal one picture below
//! them that is drawn again and again at its place.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tocsin_cli::term::{self, Style};
use tocsin_text as text;

use super::{DemoError, Signals};

/// Most columns of a line, also where the terminal has more: it is read in mails, too.
const COLUMNS: usize = 80;
/// By how much what is told stands in below its heading.
const INDENT: usize = 2;
/// Most pictures in a second; one that shows nothing new is not drawn.
const PICTURES: u8 = 60;

pub(super) struct Screen<'a> {
    loud: bool,
    live: bool,
    columns: usize,
    /// Nothing is told any more when one came.
    signals: &'a Signals,
}

impl<'a> Screen<'a> {
    pub(super) fn new(loud: bool, signals: &'a Signals) -> Self {
        Self {
            loud,
            live: loud && std::io::stdout().is_terminal(),
            columns: term::columns().unwrap_or(COLUMNS).min(COLUMNS),
            signals,
        }
    }

    /// Columns for what is told below a heading.
    pub(super) fn room(&self) -> usize {
        self.columns.saturating_sub(INDENT)
    }

    /// A line as it is.
    ///
    /// # Errors
    /// [`DemoError::Closed`] where nobody reads any more, [`DemoError::Ended`] when a signal came.
    pub(super) fn line(&self, line: &str) -> Result<(), DemoError> {
        self.signals.check()?;
        if !self.loud {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|source| match source.kind() {
            std::io::ErrorKind::BrokenPipe => DemoError::Closed,
            _ => DemoError::System { what: "cannot write to standard output", source },
        })
    }

    pub(super) fn heading(&self, text: &str) -> Result<(), DemoError> {
        self.line("")?;
        text::wrap(text, self.columns).iter().try_for_each(|line| self.line(&term::paint(Style::Bold, line)))
    }

    /// Below a heading, in as many lines as it takes.
    pub(super) fn say(&self, text: &str) -> Result<(), DemoError> {
        self.block(&text::wrap(text, self.room()).join("\n"))
    }

    /// Below a heading, behind a mark.
    pub(super) fn marked(&self, style: Style, mark: &str, text: &str) -> Result<(), DemoError> {
        let beside = text::width(mark) + 1;
        let lines = text::wrap(&text::escape(text), self.room().saturating_sub(beside));
        let mut before = format!("{} ", term::paint(style, mark));
        for line in lines {
            self.block(&format!("{before}{line}"))?;
            before = " ".repeat(beside);
        }
        Ok(())
    }

    /// Below a heading, what is laid out already.
    pub(super) fn block(&self, text: &str) -> Result<(), DemoError> {
        indented(text).lines().try_for_each(|line| self.line(line))
    }

    /// A picture below all that was told; nothing, where no terminal shows it.
    pub(super) fn picture(&self) -> Picture<'a> {
        let bar = self.live.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout_with_hz(PICTURES));
            bar.set_style(
                ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Picture { bar, shown: String::new(), signals: self.signals }
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("{:INDENT$}{line}", "")).collect::<Vec<_>>().join("\n")
}

/// A picture that goes when it is dropped.
pub(super) struct Picture<'a> {
    bar: Option<ProgressBar>,
    shown: String,
    signals: &'a Signals,
}

impl Picture<'_> {
    /// Draws it anew over the one before; lines that the terminal has no room for are left out.
    ///
    /// # Errors
    /// [`DemoError::Ended`] when a signal came.
    pub(super) fn draw(&mut self, text: &str) -> Result<(), DemoError> {
        self.signals.check()?;
        if let Some(bar) = &self.bar
            && text != self.shown
        {
            bar.set_message(indented(text));
            text.clone_into(&mut self.shown);
        }
        Ok(())
    }
}

impl Drop for Picture<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            // Nothing is drawn over what is said at the end.
            match self.signals.check() {
                Ok(()) => bar.finish_and_clear(),
                Err(_) => bar.set_draw_target(ProgressDrawTarget::hidden()),
            }
        }
    }
}
