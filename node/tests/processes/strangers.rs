//! What an operator sees of strangers, and of a process that may open too little.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::harness::{Node, until};

/// The port of the first node's TCP listener.
fn port(node: &Node) -> u16 {
    let status = node.json(&["status"]);
    let listening = status["listening"][0].as_str().expect("it listens").to_owned();
    listening.split("/tcp/").nth(1).and_then(|port| port.parse().ok()).expect("a port")
}

fn silent_sockets(port: u16, addresses: u8, each: usize) -> Vec<Socket> {
    let from = (1..=addresses).flat_map(|last| std::iter::repeat_n(Ipv4Addr::new(127, 0, 4, last), each));
    let connected = from.filter_map(|from| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
        socket.bind(&SocketAddr::from((from, 0)).into()).ok()?;
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).ok()?;
        Some(socket)
    });
    connected.collect()
}

fn is_linked(node: &Node) -> bool {
    node.json(&["status"])["peers"][0]["connected"] == true
}

fn alarms(status: &Value) -> String {
    let alarms = status["alarms"].as_array().expect("alarms").iter();
    alarms.map(|alarm| alarm.as_str().expect("text").to_owned() + "\n").collect()
}

/// Seconds of processor that a process used so far (proc_pid_stat(5), fields 14 and 15, in hundredths).
fn processor(node: &Node) -> f64 {
    let pid = node.process.as_ref().expect("it runs").id();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let after_name = stat.rsplit(')').next().expect("fields");
    let ticks =
        after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().expect("ticks"));
    ticks.sum::<f64>() / 100.0
}

#[test]
fn a_partner_links_beside_silent_sockets_and_status_names_who_holds_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    nodes[1].kill();
    let to = port(&nodes[0]);
    let mut sockets = silent_sockets(to, 2, 100);
    std::thread::sleep(Duration::from_millis(500));
    let begin = Instant::now();
    nodes[1].run();
    until("the partner is linked", || is_linked(&nodes[1]));
    assert!(begin.elapsed() < Duration::from_secs(5), "linked after {:?}", begin.elapsed());
    sockets.extend(silent_sockets(to, 2, 100));
    until("it is told", || alarms(&nodes[0].json(&["status"])).contains("handshakes that others began"));
    let status = nodes[0].json(&["status"]);
    assert!(alarms(&status).contains("the busiest host is 127.0.4."), "{}", alarms(&status));
    let late = &status["network"]["of_late"];
    assert!(late["worst_host"].as_str().is_some_and(|host| host.starts_with("127.0.4.")), "{late}");
    assert!(status["network"]["tcp"]["gave_way"].as_u64() > Some(0), "{}", status["network"]);
    let shown = String::from_utf8(nodes[0].tell(&["status"]).stdout).expect("text");
    assert!(shown.contains("handshakes of others: ") && shown.contains("alarm: "), "{shown}");
    until("the log has it", || nodes[0].log().contains("came to nothing"));
    assert_eq!(nodes[0].log().matches("came to nothing").count(), 1, "once a minute");
}

#[test]
fn a_process_without_descriptors_says_so_and_still_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    let to = port(&nodes[0]);
    let pid = nodes[0].process.as_ref().expect("it runs").id();
    let in_use = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count();
    nodes[0].kill();
    // A quarter of what it may open is kept back, so this leaves room for the link and little else.
    nodes[0].run_with_descriptors(in_use * 4 / 3 + 4);
    until("the partner is linked", || is_linked(&nodes[0]));
    let (begin, before) = (Instant::now(), processor(&nodes[0]));
    let mut sockets = Vec::new();
    let mut asked = 0;
    while begin.elapsed() < Duration::from_secs(6) {
        sockets = silent_sockets(to, 199, 2);
        let question = Instant::now();
        let status = nodes[0].json(&["status"]);
        assert!(question.elapsed() < Duration::from_secs(3), "an answer after {:?}", question.elapsed());
        assert_eq!(status["peers"][0]["connected"], true, "the link that is there stays");
        asked += 1;
    }
    let used = processor(&nodes[0]) - before;
    let status = nodes[0].json(&["status"]);
    assert!(status["network"]["of_late"]["no_descriptor"].as_u64() > Some(0), "{}", status["network"]);
    assert!(alarms(&status).contains("LimitNOFILE"), "{}", alarms(&status));
    assert!(used < 3.0, "{used} s of processor in six seconds, {asked} questions among them");
    until("the log has it", || nodes[0].log().contains("LimitNOFILE"));
    assert_eq!(nodes[0].log().matches("LimitNOFILE").count(), 1, "once a minute");
    assert!(nodes[0].log().len() < 20_000, "{} bytes of log", nodes[0].log().len());

    // When they are gone all is as before.
    drop(sockets);
    nodes[1].kill();
    nodes[1].run();
    until("the partner is linked again", || is_linked(&nodes[1]));
    assert!(nodes[0].process.as_mut().expect("it ran").try_wait().expect("asked").is_none(), "it runs");
}
