//! What is kept in step with the core, at a node that runs.

use std::sync::Arc;

use tocsin_api::types::{ImportBatch, MarkingWords, PublishRequest};
use tocsin_clock as clock;
use tocsin_engine::read;
use tocsin_home::identity::{Papers, entry};
use tocsin_home::keys;
use tocsin_protocol::Input;
use tocsin_record::OrgId;
use tocsin_record::body::Body;
use tocsin_record::body::report::{Report, Subject};
use tocsin_record::keys::Secret;
use tocsin_record::observable::detect;
use tocsin_service::Node;

use super::Running;
use super::tests::{founded, pair, until};

/// As many records as one import takes and one more: more events than are kept for who is slow.
async fn import_many(node: &Arc<Node>) -> usize {
    let request = PublishRequest {
        values: vec!["192.0.2.7".to_owned()],
        circle: "mesh".to_owned(),
        marking: MarkingWords { tlp: Some("green".to_owned()), ..MarkingWords::default() },
        ..PublishRequest::default()
    };
    let record = node.publish(request).await.unwrap().records[0].record.clone();
    let place = node.find(&record).unwrap();
    let stored = node.engine.reader.record(place).unwrap().unwrap();
    let bytes = stored.entry.body().unwrap();
    let Ok(Body::Report(model)) = Body::read(&stored.entry.header, bytes) else { panic!("a report") };
    let reports = (0..4096_u32).map(|at| {
        let mut report = Report {
            subject: Subject([0, 0, 0, (at >> 8) as u8, at as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            ..model.clone()
        };
        report.indicators[0].what = detect(&format!("10.0.{}.{}", at >> 8, at & 255)).unwrap().observable;
        report
    });
    let share = Some("mesh".to_owned());
    let batch = ImportBatch { share, dry_run: false, reports: reports.collect(), floors: Vec::new() };
    assert_eq!(node.import(batch).await.unwrap().new, 4096);
    4097
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_of_held_records_misses_nothing_however_slow_it_follows() {
    let folder = tempfile::tempdir().unwrap();
    let [home, other] = pair(folder.path());
    let running = Running::start(&home, home.config().unwrap()).await.unwrap();
    let partner = Running::start(&other, other.config().unwrap()).await.unwrap();
    let node = Arc::clone(&running.node);
    let count = import_many(&partner.node).await as u64;
    let counts = || node.engine.reader.counts();
    until("the partner's records are here", async || counts().accepted >= count).await;
    let policy = std::fs::read_to_string(home.policy_file()).unwrap();
    let hold = "\n@id(\"hold-all\") permit (principal, action == Action::\"hold\", resource);\n";
    for (text, held_now) in [(policy.clone() + hold, count), (policy, 0)] {
        std::fs::write(home.policy_file(), text).unwrap();
        // Whoever follows is held up until all is judged anew.
        let (release, released) = std::sync::mpsc::channel::<()>();
        let holder = std::thread::spawn({
            let node = Arc::clone(&node);
            move || {
                let _index = read(&node.engine.index.held);
                let _ = released.recv();
            }
        });
        node.reload_policy().await.unwrap();
        until("all is judged anew", async || counts().held == held_now).await;
        release.send(()).unwrap();
        holder.join().unwrap();
        until("the index has it", async || read(&node.engine.index.held).len() as u64 == held_now).await;
    }
    partner.stop().await.unwrap();
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_come_to_the_home_once_it_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let home = founded(&folder.path().join("aa"));
    let running = Running::start(&home, home.config().unwrap()).await.unwrap();
    let node = Arc::clone(&running.node);
    // In the way of every write.
    let in_the_way = home.path().join("documents/mesh.documents.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let root = keys::read_root(&home.root_file(), None).unwrap();
    let mut papers = home.papers().unwrap().unwrap();
    // Faster than any file is written.
    for at in 0..40_u8 {
        let org = Secret::from_seed(&[at; 32]).public();
        let entry = entry(OrgId(org), &format!("org-{at}"));
        papers = papers.add(entry, &[], &root, clock::now_ms()).unwrap();
        let documents = vec![papers.charters.last().unwrap().clone()];
        let done = node.engine.core.ask(move |ticket| Input::Documents { ticket, documents }).await.unwrap();
        assert_eq!(done.documents, 1);
        assert_eq!(node.engine.directory().charter().version, u32::from(at) + 2, "readers have it at once");
    }
    until("it is told", async || {
        node.status(false).await.alarms.iter().any(|alarm| alarm.contains("documents could not be written"))
    })
    .await;
    std::fs::remove_dir(&in_the_way).unwrap();
    until("it is written", async || home.papers().unwrap().as_ref() == Some(&papers)).await;
    until("the alarm is over", async || node.status(false).await.alarms.is_empty()).await;
    running.stop().await.unwrap();
    drop(node);

    // A node that ended before it wrote what it had taken writes it at the next start.
    let lost = Papers { charters: papers.charters[..1].to_vec(), ..papers.clone() };
    home.write_papers(&lost).unwrap();
    let running = Running::start(&home, home.config().unwrap()).await.unwrap();
    until("it is written", async || home.papers().unwrap().as_ref() == Some(&papers)).await;
    running.stop().await.unwrap();
}
