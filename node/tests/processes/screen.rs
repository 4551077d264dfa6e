//! What people see: a command on a terminal of 80 columns and 24 lines.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::harness::until;

pub const COLUMNS: usize = 80;
pub const LINES: usize = 24;

/// A process on a terminal, and the end of the terminal at which people would sit.
pub struct Terminal {
    pub process: Child,
    end: File,
    /// All that came so far.
    pub came: String,
}

impl Terminal {
    pub fn start(command: &mut Command) -> Self {
        let end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&end).expect("granted");
        unlockpt(&end).expect("unlocked");
        let (ws_col, ws_row) = (COLUMNS as u16, LINES as u16);
        let size = Winsize { ws_col, ws_row, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&end, size).expect("a size");
        let name = ptsname(&end, Vec::new()).expect("a name");
        let other = OpenOptions::new()
            .read(true)
            .write(true)
            .open(std::ffi::OsStr::from_bytes(name.as_bytes()))
            .expect("its other end");
        command
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .stdout(other.try_clone().expect("a descriptor"))
            .stderr(other);
        let process = command.spawn().expect("the program runs");
        // The ends that it gave away stay open here otherwise.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self { process, end: File::from(end), came: String::new() }
    }

    /// Reads until this text came, or until the end where it does not come; whether it came.
    pub fn read_until(&mut self, text: &str) -> bool {
        let mut bytes = std::mem::take(&mut self.came).into_bytes();
        let mut piece = [0; 4096];
        let found = |bytes: &[u8]| !text.is_empty() && String::from_utf8_lossy(bytes).contains(text);
        // The system says EIO where nobody writes any more.
        while !found(&bytes) {
            match self.end.read(&mut piece) {
                Ok(read) if read > 0 => bytes.extend(&piece[..read]),
                _ => break,
            }
        }
        self.came = String::from_utf8_lossy(&bytes).into_owned();
        found(&bytes)
    }

    /// Reads all, and waits for the end of the process: its exit code.
    pub fn read_to_end(&mut self) -> Option<i32> {
        self.read_until("");
        self.process.wait().expect("it ended").code()
    }
}

/// What a command shows that writes line after line.
pub fn lines(command: &mut Command) -> Vec<String> {
    let mut terminal = Terminal::start(command);
    terminal.read_to_end();
    without_colours(&terminal.came).lines().map(str::to_owned).collect()
}

fn without_colours(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        out.push_str(&rest[..at]);
        let end = rest[at..].find('m').expect("a line has colours and nothing else");
        rest = &rest[at + end + 1..];
    }
    out + rest
}

/// A screen with all that scrolled out of it, as a terminal makes it of what came.
#[derive(Default)]
pub struct Screen {
    lines: Vec<Vec<char>>,
    /// The first that is still on the screen.
    top: usize,
    line: usize,
    column: usize,
    /// Text that was too long for its line.
    pub parted: Vec<String>,
}

impl Screen {
    pub fn of(text: &str) -> Self {
        let mut screen = Self { lines: vec![Vec::new()], ..Self::default() };
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\x1b' => {
                    assert_eq!(chars.next(), Some('['));
                    let mut number = String::new();
                    let end = loop {
                        match chars.next().expect("a whole sequence") {
                            c if c.is_ascii_alphabetic() => break c,
                            c => number.push(c),
                        }
                    };
                    screen.obey(end, &number);
                }
                '\r' => screen.column = 0,
                '\n' => screen.go_down(),
                c => screen.write(c),
            }
        }
        screen
    }

    fn obey(&mut self, end: char, number: &str) {
        let count = number.parse().unwrap_or(1);
        match end {
            'm' => {}
            'A' => self.line = self.line.saturating_sub(count).max(self.top),
            'B' => self.line = (self.line + count).min(self.top + LINES - 1),
            'K' if number == "2" => self.lines[self.line].clear(),
            _ => panic!("not known of this terminal: {number}{end}"),
        }
        while self.lines.len() <= self.line {
            self.lines.push(Vec::new());
        }
    }

    fn go_down(&mut self) {
        self.line += 1;
        self.top = self.top.max((self.line + 1).saturating_sub(LINES));
        while self.lines.len() <= self.line {
            self.lines.push(Vec::new());
        }
    }

    fn write(&mut self, c: char) {
        if self.column == COLUMNS {
            let line: String = self.lines[self.line].iter().collect();
            // What fills a line up to its end is no text.
            if !line.ends_with(' ') {
                self.parted.push(line);
            }
            self.go_down();
            self.column = 0;
        }
        let line = &mut self.lines[self.line];
        if line.len() <= self.column {
            line.resize(self.column + 1, ' ');
        }
        line[self.column] = c;
        self.column += 1;
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect()
    }
}

#[test]
fn a_screen_is_as_a_terminal_makes_it() {
    let screen = Screen::of("one\r\ntwo\r\nthree\x1b[1A\r\x1b[2K2\x1b[31m!\x1b[0m\x1b[1B\rT");
    assert_eq!(screen.lines(), ["one", "2!", "Three"]);
    let long = "x".repeat(COLUMNS);
    assert_eq!(Screen::of(&long).parted.len(), 0);
    assert_eq!(Screen::of(&format!("{long}y")).parted, [long]);
    assert_eq!(Screen::of(&format!("{:80}y", "filled")).lines(), ["filled", "y"]);
    // The upper edge of the screen holds the cursor.
    let many = "l\r\n".repeat(LINES + 5);
    assert_eq!(Screen::of(&format!("{many}\x1b[99A\rtop")).lines()[6], "top");
}

#[test]
fn what_verbs_show_fits_eighty_columns() {
    let folder = tempfile::tempdir().expect("a folder");
    let ring = folder.path().join("ring");
    let tocsin = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
        command.args(words);
        command
    };
    let _ring = Ring(&ring);
    let dir = ring.to_str().expect("UTF-8");
    let shown = |words: &[&str]| {
        let shown = lines(&mut tocsin(words));
        let text = shown.join("\n");
        assert!(
            !text.is_empty() && shown.iter().all(|line| line.chars().count() <= COLUMNS),
            "{words:?}:\n{text}"
        );
        text
    };
    shown(&["testnet", "up", "--dir", dir]);
    shown(&["testnet", "status", "--dir", dir]);
    let home = |org: &str| ring.join(org).to_str().expect("UTF-8").to_owned();
    let (first, second) = (home("ncsc-qm"), home("police-xb"));
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../testnet/samples");
    let import = ["--home", &first, "import", samples, "--tlp", "green", "--share", "mesh"];
    assert!(tocsin(&import).output().expect("it runs").status.success());
    let title = "A title that goes on for longer than a line of eighty columns has room, and then some";
    for more in [&["--for-purpose", "network-defence"][..], &["--countries", "XB,XC", "--legal-basis", title]]
    {
        let words =
            ["--home", &first, "publish", "198.51.100.7", "evil[.]example", "--tlp", "green", "--to", "mesh"];
        let words = [&words[..], &["--retention", "90d", "--pap", "amber", "--title", title], more].concat();
        assert!(tocsin(&words).output().expect("it runs").status.success());
    }
    let listed = || {
        let words = ["--json", "--home", &second, "query", "--purpose", "network-defence"];
        String::from_utf8(tocsin(&words).output().expect("it runs").stdout).expect("text")
    };
    until("all came", || listed().lines().count() == 6);
    for home in [&first, &second] {
        shown(&["--home", home, "status", "--logs", "--partners"]);
        let mesh = shown(&["--home", home, "mesh", "show"]);
        assert!(mesh.contains("XB  gdpr,led") && mesh.contains("/ip4/127.0.0.1/udp/"), "{mesh}");
        let status = shown(&["--home", home, "status"]);
        assert!(
            status.lines().any(|line| line.starts_with("cert-xd ") && line.contains("/ip4/")),
            "{status}"
        );
        let query = shown(&["--home", home, "query"]);
        // A record a line, by the beginning of its id.
        let row = query.lines().find(|line| line.contains("A title that")).expect("it is listed");
        let id = row.split(' ').next_back().expect("an id");
        assert_eq!(id.len(), 8, "{row}");
        assert!(row.contains("  green  ") || row.contains("  GREEN  "), "{row}");
        shown(&["--home", home, "why", id]);
        let show = shown(&["--home", home, "show", id]);
        assert!(show.contains("marking   TLP:GREEN; PAP:AMBER; "), "{show}");
    }
    for record in listed().lines() {
        let record: serde_json::Value = serde_json::from_str(record).expect("JSON");
        let id = record["record"].as_str().expect("an id");
        for verb in ["show", "why"] {
            shown(&["--home", &second, verb, id, "--purpose", "network-defence"]);
        }
    }
}

/// Stops the nodes of a testnet.
struct Ring<'a>(&'a Path);

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        let words = ["testnet", "down", "--dir"];
        let _ = Command::new(env!("CARGO_BIN_EXE_tocsin")).args(words).arg(self.0).output();
    }
}
