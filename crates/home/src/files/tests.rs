//! Files that others had a hand in, that are none, or that change while they are read.

use super::*;

#[test]
fn writes_whole_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write(&path, b"one").unwrap();
    write(&path, b"two").unwrap();
    assert_eq!(read(&path, 3).unwrap(), b"two");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert!(matches!(read(&path, 2), Err(FileError::TooLong { length: 3, .. })));
    assert!(matches!(write_new(&path, b""), Err(FileError::Exists { .. })));
    assert_eq!(read_secret(&path, 3).unwrap().as_slice(), b"two");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(read_secret(&path, 3), Err(FileError::Open { mode: 0o640, .. })));
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_others_can_write_decides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.cedar");
    write(&path, b"x").unwrap();
    for open in [0o602, 0o620, 0o666] {
        mode(&path, open);
        let error = read_own(&path, 9).unwrap_err();
        assert!(matches!(error, FileError::Writable { .. }));
        assert!(error.to_string().contains(&format!("chmod go-w {}", path.display())), "{error}");
        assert!(matches!(read_secret(&path, 9), Err(FileError::Open { .. })));
        assert_eq!(read(&path, 9).unwrap(), b"x", "a file that a user names may be anyone's");
    }
    mode(&path, 0o644);
    assert_eq!(read_own_text(&path, 9).unwrap(), "x", "in a closed home this opens nothing");
    // Through a link the file itself is looked at, not the link, which always has every bit.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(read_own(&link, 9).unwrap(), b"x");
    mode(&path, 0o666);
    assert!(matches!(read_own(&link, 9), Err(FileError::Writable { .. })));
}

#[test]
fn what_belongs_to_another_user_decides_nothing() {
    let path = Path::new("policy.cedar");
    let check = |user, owner, mode, hands| check_hands(path, user, (owner, mode), hands);
    for hands in [Hands::Own, Hands::Secret] {
        check(1000, 1000, 0o600, hands).unwrap();
        check(1000, ROOT, 0o600, hands).expect("root could write it in any case");
        for user in [1000, ROOT] {
            let error = check(user, 1001, 0o600, hands).unwrap_err();
            assert!(error.to_string().contains(&format!("chown -R {user} policy.cedar")), "{error}");
        }
    }
    check(1000, ROOT, 0o440, Hands::Secret).expect("a secret as containers are given it");
    assert!(
        check(1000, 1000, 0o440, Hands::Secret).is_err() && check(1000, ROOT, 0o444, Hands::Secret).is_err()
    );

    // As root another's can be made.
    let folder = tempfile::tempdir().unwrap();
    if user() == ROOT {
        std::os::unix::fs::chown(folder.path(), Some(1001), None).unwrap();
        assert!(matches!(check_home(folder.path()), Err(FileError::Foreign { owner: 1001, user: ROOT, .. })));
    }
}

#[test]
fn a_home_that_is_open_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    mode(folder.path(), 0o700);
    check_home(folder.path()).unwrap();
    for open in [0o777, 0o755, 0o710, 0o701] {
        mode(folder.path(), open);
        let error = check_home(folder.path()).unwrap_err();
        assert!(matches!(error, FileError::OpenHome { .. }));
        assert!(error.to_string().contains(&format!("chmod go-rwx {}", folder.path().display())), "{error}");
    }
    make_folder(folder.path()).unwrap();
    check_home(folder.path()).expect("nothing was in it, and it was closed");
    mode(folder.path(), 0o777);
    fs::write(folder.path().join("a"), "").unwrap();
    make_folder(folder.path()).unwrap();
    assert!(check_home(folder.path()).is_err(), "what others may have put there is for a person to look at");
}

#[test]
fn pipes_devices_and_folders_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    for (path, said) in [
        (pipe.as_path(), "a pipe"),
        (&link, "a pipe"),
        (&socket, "a socket"),
        (folder.path(), "a folder"),
        (Path::new("/dev/zero"), "a device"),
    ] {
        for error in [read(path, 9).unwrap_err(), read_own(path, 9).unwrap_err()] {
            assert!(matches!(error, FileError::NotRegular { kind, .. } if kind == said), "{error}");
        }
        assert!(matches!(read_secret(path, 9), Err(FileError::NotRegular { .. })));
    }
}

#[test]
fn a_file_that_changes_meanwhile_is_read_again_and_then_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    fs::write(&path, "one").unwrap();
    let mut reads = 0;
    let read = read_while(&path, 9, Hands::Any, || {
        reads += 1;
        // In place, of the same length: only its time says so.
        if reads == 1 {
            fs::write(&path, "two").unwrap();
        }
    });
    assert_eq!((read.unwrap().as_slice(), reads), (b"two".as_slice(), 2));
    // Replaced by another, as an editor does.
    let read = read_while(&path, 9, Hands::Any, || {
        if reads == 2 {
            write(&path, b"three").unwrap();
        }
        reads += 1;
    });
    assert_eq!((read.unwrap().as_slice(), reads), (b"three".as_slice(), 4));
    let mut writes = 0;
    let always = read_while(&path, 99, Hands::Any, || {
        writes += 1;
        fs::write(&path, "x".repeat(writes)).unwrap();
    });
    assert!(matches!(always, Err(FileError::Changing { .. })), "{always:?}");
    assert_eq!(writes, READS);
}

#[test]
fn a_file_that_was_written_just_now_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    fs::write(&path, "one").unwrap();
    let reading = Reading::of_named(&path).unwrap();
    let age = tocsin_clock::now_ms() - changed_ms(&reading.file.metadata().unwrap());
    assert!(age >= SETTLED_MS, "{age} ms");
    assert!(reading.is_unchanged(&path).unwrap());
    fs::write(&path, "two").unwrap();
    assert!(!reading.is_unchanged(&path).unwrap());
}

#[test]
fn the_pipe_that_a_shell_gives_is_read_and_is_no_file() {
    let (ours, mut theirs) = std::io::pipe().unwrap();
    let path = PathBuf::from(format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&ours)));
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        theirs.write_all(b"pass").unwrap();
    });
    assert_eq!(read_secret(&path, 9).unwrap().as_slice(), b"pass");
    writer.join().unwrap();
    assert!(matches!(Reading::of_named(&path), Err(FileError::NotRegular { kind: "a pipe", .. })));
}

#[test]
fn what_lies_where_everybody_moves_things_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (open, home) = (folder.path().join("open"), folder.path().join("open/above/home"));
    make_folder(&home).unwrap();
    let path = home.join("policy.cedar");
    write(&path, b"x").unwrap();
    mode(&open, 0o777);
    for error in [check_home(&home).unwrap_err(), read_own(&path, 9).unwrap_err()] {
        assert!(error.to_string().contains(&format!("chmod o-w {}", open.display())), "{error}");
    }
    assert!(matches!(read_secret(&path, 9), Err(FileError::OpenAbove { mode: 0o777, .. })));
    mode(&open, 0o1777);
    check_home(&home).expect("in such a folder nobody moves what is another's");
    assert_eq!(read_own(&path, 9).unwrap(), b"x");
}
