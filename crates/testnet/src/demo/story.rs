//! What happens in the demo, in order, and what must be true of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tocsin_api::route::{self, Route};
use tocsin_api::types::{
    Lookup, LookupRequest, MarkingWords, NewRecord, PublishRequest, Published, RetractRequest, Status, Why,
};
use tocsin_cli::importer::{Importer, NoProgress, Summary};
use tocsin_cli::term::{self, Style};
use tocsin_clock as clock;
use tocsin_exchange::marking::Terms;
use tocsin_home::files;
use tocsin_record::marking::{Code, Tlp};
use tocsin_text as text;

use super::screen::Screen;
use super::{Check, DemoError, Options, Report, Signals, table};
use crate::{Testnet, sample};

/// How long records may take to be everywhere.
const ARRIVAL: Duration = Duration::from_secs(120);
/// How often the nodes are asked.
const LOOK: Duration = Duration::from_millis(50);

/// The story so far.
pub(super) struct Story<'a> {
    net: &'a Testnet,
    pub(super) screen: Screen<'a>,
    pub(super) report: Report,
}

/// Tells the story, and reports what was found. After a signal nothing is told any more.
pub(super) fn tell(net: &Testnet, options: &Options, signals: &Signals) -> Result<Report, DemoError> {
    let mut story = Story {
        net,
        screen: Screen::new(!options.json, signals),
        report: Report { orgs: net.topology.org.len(), ..Report::default() },
    };
    story.begin()?;
    story.share(&options.import)?;
    story.measure()?;
    story.policies()?;
    story.correct_and_retract()?;
    story.away_and_back()?;
    story.end()?;
    Ok(story.report)
}

/// Commands to try, while the nodes go on. They are copied: no line of them is parted.
pub(super) fn stay(net: &Testnet, signals: &Signals) -> Result<(), DemoError> {
    let screen = Screen::new(true, signals);
    screen.heading("Try it")?;
    let shell = |path: Option<&Path>| text::shell(&path.unwrap_or(Path::new("/")).display().to_string());
    let program = tocsin_cli::handover::command();
    let name = program.file_name().unwrap_or(program.as_os_str()).display();
    let orgs = &net.topology.org;
    let (first, last) = (&orgs[0].name, &orgs[orgs.len() - 1].name);
    screen.line(&format!("  cd {}", shell(net.home(first).path().parent())))?;
    screen.line(&format!("  PATH={}:$PATH", shell(program.parent())))?;
    for (org, words) in [
        (last, "lookup parcel-fee.example"),
        (first, "publish 192.0.2.99 --tlp green --to mesh"),
        (last, "query"),
        (last, "status"),
        (last, "watch"),
    ] {
        screen.line(&format!("  {name} --home {} {words}", text::shell(org)))?;
    }
    screen.line("")?;
    screen.line("The nodes run until you press Ctrl-C.")
}

impl Story<'_> {
    pub(super) fn check(&mut self, name: &str, ok: bool, found: impl Into<String>) -> Result<(), DemoError> {
        let found = found.into();
        let (style, mark) = if ok { (Style::Good, "ok") } else { (Style::Bad, "FAILED") };
        let colon = if found.is_empty() { "" } else { ": " };
        self.screen.marked(style, mark, &format!("{name}{colon}{found}"))?;
        self.report.checks.push(Check { name: name.to_owned(), ok, found });
        Ok(())
    }

    pub(super) fn orgs(&self) -> Vec<String> {
        self.net.topology.org.iter().map(|org| org.name.clone()).collect()
    }

    /// The org at a place of the topology; a small topology is gone round.
    pub(super) fn org(&self, at: usize) -> String {
        let orgs = self.orgs();
        orgs[at % orgs.len()].clone()
    }

    fn post<T: serde::de::DeserializeOwned>(
        &self,
        org: &str,
        route: Route,
        what: &impl serde::Serialize,
    ) -> Result<T, DemoError> {
        self.net
            .client(org)
            .post(route, what)
            .map_err(|source| DemoError::Client { org: org.to_owned(), source })
    }

    fn get<T: serde::de::DeserializeOwned>(&self, org: &str, route: Route) -> Result<T, DemoError> {
        self.net.client(org).get(route).map_err(|source| DemoError::Client { org: org.to_owned(), source })
    }

    /// How a node is, if it runs.
    pub(super) fn status(&self, org: &str) -> Option<Status> {
        self.get(org, route::STATUS).ok()
    }

    fn statuses(&self) -> Vec<(String, Option<Status>)> {
        self.orgs().into_iter().map(|org| (org.clone(), self.status(&org))).collect()
    }

    fn begin(&mut self) -> Result<(), DemoError> {
        self.screen.heading("Five agencies, five processes, no hub")?;
        let members = self.net.up()?;
        let rows: Vec<Vec<String>> = members
            .iter()
            .zip(&self.net.topology.org)
            .map(|(member, org)| {
                vec![
                    member.org.clone(),
                    org.kind.clone(),
                    org.country.clone(),
                    if org.listen { "listens" } else { "only dials out" }.to_owned(),
                    org.policy.clone(),
                    member.pid.map_or_else(String::new, |pid| pid.to_string()),
                ]
            })
            .collect();
        let headings = ["org", "kind", "in", "network", "policy", "process"];
        self.screen.block(&term::table_within(self.screen.room(), &headings, &rows))?;
        let running = members.iter().filter(|member| member.pid.is_some()).count();
        self.check("all nodes run", running == members.len(), format!("{running} of {}", members.len()))?;
        let linked = self.statuses().iter().all(|(_, status)| {
            status.as_ref().is_some_and(|status| status.peers.iter().any(|peer| peer.connected))
        });
        self.check("all nodes are linked", linked, "")?;
        Ok(())
    }

    fn share(&mut self, import: &[PathBuf]) -> Result<(), DemoError> {
        self.screen.heading("Three of them import and share what they know")?;
        let terms = Terms {
            tlp: Some(Tlp::Green),
            purposes: Code::purpose("network-defence").into_iter().collect(),
            retention_ms: Some(90 * 86_400_000),
            ..Terms::default()
        };
        let started = Instant::now();
        let who = self.who_imports(import)?;
        // Beside the picture, so that it shows records as they come.
        let summaries = std::thread::scope(|scope| {
            let (net, mut picture) = (self.net, self.screen.picture());
            let work = scope.spawn(move || import_all(net, who, &terms));
            while !work.is_finished() {
                picture.draw(&table::holdings(&self.statuses(), self.screen.room()))?;
                std::thread::sleep(LOOK);
            }
            work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        for (org, summary) in summaries {
            self.imported(&org, &summary)?;
        }
        self.wait_until_everywhere("every node holds every record")?;
        let took = clock::show_measured(started.elapsed());
        self.screen.say(
            "(judged: accepted/held/refused by each node's own policy, with what it keeps to itself; held waits for a \
             person)",
        )?;
        self.screen.say(&format!("everything was everywhere {took} after the first import began"))
    }

    /// Which org imports which files: the samples of the topology, or the given files dealt out to three.
    fn who_imports(&self, import: &[PathBuf]) -> Result<Vec<(String, Vec<PathBuf>)>, DemoError> {
        if import.is_empty() {
            let mut who = Vec::new();
            for org in self.net.topology.org.iter().filter(|org| !org.imports.is_empty()) {
                let folder = self.net.home(&org.name).path().join("samples").join("exercise");
                files::make_folder(&folder).map_err(tocsin_cli::importer::ImportFault::from)?;
                let mut written = Vec::new();
                for name in &org.imports {
                    // A topology of one's own has its samples beside it; a name that is nowhere is told by the import.
                    let path = folder.join(name);
                    if let Some(text) = sample(name) {
                        files::write(&path, text.as_bytes())
                            .map_err(tocsin_cli::importer::ImportFault::from)?;
                    }
                    written.push(path);
                }
                who.push((org.name.clone(), written));
            }
            return Ok(who);
        }
        let mut who: Vec<(String, Vec<PathBuf>)> = (0..3).map(|at| (self.org(at), Vec::new())).collect();
        for (at, path) in tocsin_cli::importer::files(import)?.into_iter().enumerate() {
            who[at % 3].1.push(path);
        }
        Ok(who)
    }

    fn imported(&mut self, org: &str, summary: &Summary) -> Result<(), DemoError> {
        let total = &summary.total;
        let unread = summary.files.iter().filter(|file| file.error.is_some()).count();
        let skipped: u64 = summary.files.iter().map(|file| file.skipped).sum();
        self.report.indicators += total.indicators;
        self.screen.say(&format!(
            "{org}: {}, {}, {}, {} shared with the mesh{}{}",
            text::count(summary.files.len() as u64, "file"),
            text::count(total.new + total.changed, "report"),
            text::count(total.indicators, "indicator"),
            total.shared,
            if skipped > 0 { format!(", {} left out", text::count(skipped, "value")) } else { String::new() },
            if unread > 0 {
                format!(", {} of another kind", text::count(unread as u64, "file"))
            } else {
                String::new()
            },
        ))?;
        let ok = total.new + total.changed + total.duplicates > 0 || summary.files.is_empty();
        self.check(&format!("{org} imported and shared"), ok, format!("{} shared", total.shared))
    }

    /// Waits until each running node holds each author's newest record of the mesh circle, and no body is missing.
    pub(super) fn wait_until_everywhere(&mut self, name: &str) -> Result<(), DemoError> {
        let start = Instant::now();
        let mut picture = self.screen.picture();
        let (behind, text) = loop {
            let all = self.statuses();
            let behind = behind(&all);
            let text = table::holdings(&all, self.screen.room());
            if behind.is_empty() || start.elapsed() > ARRIVAL {
                break (behind, text);
            }
            picture.draw(&text)?;
            std::thread::sleep(LOOK);
        };
        let took = clock::show_measured(start.elapsed());
        drop(picture);
        self.screen.block(&text)?;
        let found = if behind.is_empty() { format!("after {took}") } else { behind.join("; ") };
        self.check(name, behind.is_empty(), found)
    }

    pub(super) fn publish(&self, org: &str, request: PublishRequest) -> Result<NewRecord, DemoError> {
        let published: Published = self.post(org, route::PUBLISH, &request)?;
        Ok(published.records.into_iter().next().unwrap_or_default())
    }

    fn lookup(&self, org: &str, value: &str) -> Result<Lookup, DemoError> {
        let request = LookupRequest { values: vec![value.to_owned()], ..LookupRequest::default() };
        let mut answers: Vec<Lookup> = self.post(org, route::LOOKUP, &request)?;
        Ok(answers.pop().unwrap_or_default())
    }

    /// Asks until it is true, or long enough.
    fn eventually(&self, mut ask: impl FnMut(&Self) -> Result<bool, DemoError>) -> Result<bool, DemoError> {
        let start = Instant::now();
        while start.elapsed() < ARRIVAL / 4 {
            if ask(self)? {
                return Ok(true);
            }
            std::thread::sleep(LOOK);
        }
        Ok(false)
    }

    fn why(&self, org: &str, record: &str) -> Result<Option<Why>, DemoError> {
        // Until the record is there, there is nothing to ask about.
        Ok(self.net.client(org).get(route::WHY.of(record)).ok())
    }

    /// Waits for a verdict at an org, and says by which rule.
    fn verdict(&mut self, org: &str, record: &str, verdict: &str, name: &str) -> Result<(), DemoError> {
        let mut rule = String::new();
        let ok = self.eventually(|story| {
            let why = story.why(org, record)?;
            if let Some(why) = why {
                rule.clone_from(&why.record.rule);
                return Ok(why.record.verdict == verdict);
            }
            Ok(false)
        })?;
        self.check(name, ok, format!("{org} by rule `{rule}`"))
    }

    fn policies(&mut self) -> Result<(), DemoError> {
        self.screen.heading("Each node decides by its own policy")?;
        let (first, police, border, cert, bank) =
            (self.org(0), self.org(1), self.org(2), self.org(3), self.org(4));
        let guess = self.publish(&cert, warning("203.0.113.240", "EXERCISE: a guess", 10))?.record;
        self.verdict(&border, &guess, "refuse", "one record was refused")?;
        let doubtful =
            self.publish(&police, warning("203.0.113.241", "EXERCISE: perhaps a relay", 25))?.record;
        self.verdict(&first, &doubtful, "hold", "one record was held")?;
        let personal = self
            .publish(
                &police,
                PublishRequest {
                    values: vec!["suspect@mail.example".to_owned()],
                    marking: MarkingWords {
                        tlp: Some("green".to_owned()),
                        purposes: vec!["criminal-investigation".to_owned()],
                        retain_until_ms: Some(clock::now_ms() + 30 * 86_400_000),
                        exercise: true,
                        ..MarkingWords::default()
                    },
                    ..warning("", "EXERCISE: address used in the fraud", 80)
                },
            )?
            .record;
        let mut rule = String::new();
        let kept_back = self.eventually(|story| {
            let Some(why) = story.why(&police, &personal)? else {
                return Ok(false);
            };
            let Some(peer) = why.peers.iter().find(|peer| peer.org == bank) else {
                return Ok(false);
            };
            rule.clone_from(&peer.rule);
            let others = why.peers.iter().filter(|peer| peer.org != bank).all(|peer| peer.allowed);
            Ok(!peer.allowed && others)
        })?;
        self.check(
            "one record was not passed on to one partner",
            kept_back,
            format!("{bank} by rule `{rule}`"),
        )?;
        let withheld = self.eventually(|story| {
            let why = story.why(&bank, &personal)?;
            Ok(why.is_some_and(|why| why.record.body != "here"))
        })?;
        self.check("that partner has its header, and no body", withheld, "so its chain has no hole")?;
        self.report.indicators += 3;
        Ok(())
    }

    fn correct_and_retract(&mut self) -> Result<(), DemoError> {
        self.screen.heading("Mistakes are mended: a correction and a retraction")?;
        let (author, reader) = (self.org(1), self.org(4));
        let first = self.publish(
            &author,
            PublishRequest {
                values: vec!["203.0.113.200".to_owned(), "203.0.113.201".to_owned()],
                ..warning("", "EXERCISE: two control servers", 80)
            },
        )?;
        let known = |story: &Self, value: &str| story.lookup(&reader, value).map(|answer| answer.is_known());
        let arrived = self.eventually(|story| known(story, "203.0.113.201"))?;
        let request = PublishRequest {
            values: vec!["203.0.113.200".to_owned(), "203.0.113.202".to_owned()],
            replaces: Some(first.record),
            ..warning("", "EXERCISE: two control servers, corrected", 80)
        };
        self.publish(&author, request)?;
        let corrected = self.eventually(|story| {
            Ok(known(story, "203.0.113.202")?
                && known(story, "203.0.113.200")?
                && !known(story, "203.0.113.201")?)
        })?;
        let found = format!("{reader} answers for 203.0.113.202, no longer for 203.0.113.201");
        self.check("a report was corrected", arrived && corrected, found)?;
        let wrong = self.publish(&author, warning("203.0.113.210", "EXERCISE: a false alarm", 60))?.record;
        let arrived = self.eventually(|story| known(story, "203.0.113.210"))?;
        let request = RetractRequest { ids: vec![wrong], reason: "false-positive".to_owned() };
        let _: Published = self.post(&author, route::RETRACT, &request)?;
        let gone = self.eventually(|story| Ok(!known(story, "203.0.113.210")?))?;
        self.check(
            "a report was retracted",
            arrived && gone,
            format!("{reader} no longer answers for 203.0.113.210"),
        )?;
        self.report.indicators += 4;
        Ok(())
    }

    fn away_and_back(&mut self) -> Result<(), DemoError> {
        let away = self.org(2);
        self.screen.heading(&format!("{away} is away for a while"))?;
        self.net.stop(&away)?;
        let author = self.org(0);
        for at in 0..20 {
            let value = format!("198.51.111.{}", 10 + at);
            self.publish(&author, warning(&value, &format!("EXERCISE: while you were away {at}"), 75))?;
        }
        self.report.indicators += 20;
        self.screen.say(&format!("{author} shared 20 records meanwhile; now {away} comes back"))?;
        self.net.start(&away)?;
        self.net.wait_for(&away)?;
        self.wait_until_everywhere("the one that was away caught up")?;
        let found = self.lookup(&away, "198.51.111.29")?;
        self.check("it answers for what it missed", found.is_known(), "198.51.111.29")?;
        let mut summary = String::new();
        let complete = self.eventually(|story| {
            let status: Status = story.get(&away, route::STATUS)?;
            summary.clone_from(&status.summary);
            Ok(status.complete && summary.starts_with("missing nothing as of"))
        })?;
        self.check("it says so, by signed heads", complete, format!("{away}: {summary}"))?;
        Ok(())
    }

    fn end(&mut self) -> Result<(), DemoError> {
        let all = self.statuses();
        let first = all.first().and_then(|(_, status)| status.as_ref());
        self.report.records = first.map_or(0, |status| {
            status.logs.iter().filter(|log| log.circle == "mesh").map(|log| log.height).sum()
        });
        let mut behind = behind(&all);
        behind.extend(all.iter().filter_map(|(org, status)| {
            let status = status.as_ref()?;
            (!status.complete).then(|| format!("{org}: {}", status.summary))
        }));
        self.report.complete = behind.is_empty();
        self.screen.heading("In the end")?;
        self.check("every node is complete", behind.is_empty(), behind.join("; "))?;
        let failed = self.report.checks.iter().filter(|check| !check.ok).count();
        self.screen.say(&format!(
            "{} orgs, {} records, {} indicators; {} checks, {}",
            self.report.orgs,
            self.report.records,
            self.report.indicators,
            self.report.checks.len(),
            if failed == 0 { "all held".to_owned() } else { format!("{failed} FAILED") }
        ))
    }
}

/// Each org's files, into its node and from there to the mesh.
fn import_all(
    net: &Testnet,
    who: Vec<(String, Vec<PathBuf>)>,
    terms: &Terms,
) -> Result<Vec<(String, Summary)>, DemoError> {
    let import = |(org, files): (String, Vec<PathBuf>)| {
        let mut importer = Importer::new(&net.home(&org), net.client(&org), None, terms.clone())?;
        importer.share = vec!["mesh".to_owned()];
        let summary = importer.run(&files, &NoProgress)?;
        Ok((org, summary))
    };
    who.into_iter().map(import).collect()
}

/// What running nodes lack of the mesh circle, in words.
fn behind(all: &[(String, Option<Status>)]) -> Vec<String> {
    let mut newest: BTreeMap<(&str, &str, u64), u64> = BTreeMap::new();
    for (org, status) in all {
        for log in status.iter().flat_map(|status| &status.logs) {
            if log.circle == "mesh" && log.author == *org {
                newest.insert((&log.author, &log.node, log.epoch), log.height);
            }
        }
    }
    let mut behind = Vec::new();
    for (org, status) in all {
        let Some(status) = status else { continue };
        for ((author, node, epoch), height) in &newest {
            let held = status
                .logs
                .iter()
                .find(|log| {
                    log.author == *author && log.node == *node && log.epoch == *epoch && log.circle == "mesh"
                })
                .map_or(0, |log| log.height);
            if held < *height {
                behind.push(format!("{org} has {held} of {height} of {author}"));
            }
        }
        if status.missing > 0 {
            behind.push(format!("{org} lacks {}", status.missing));
        }
    }
    behind
}

pub(super) fn warning(value: &str, title: &str, confidence: u8) -> PublishRequest {
    PublishRequest {
        values: vec![value.to_owned()],
        circles: vec!["mesh".to_owned()],
        marking: MarkingWords { tlp: Some("green".to_owned()), exercise: true, ..MarkingWords::default() },
        kind: Some("malicious-activity".to_owned()),
        confidence: Some(confidence),
        title: title.to_owned(),
        ..PublishRequest::default()
    }
}
