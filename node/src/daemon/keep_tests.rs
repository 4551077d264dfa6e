//! What is kept in step with the core, at a node that runs.

use std::sync::Arc;

use tocsin_clock as clock;
use tocsin_home::identity::{Papers, entry};
use tocsin_home::keys;
use tocsin_protocol::Input;
use tocsin_record::OrgId;
use tocsin_record::keys::Secret;

use super::Running;
use super::tests::{founded, until};

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
