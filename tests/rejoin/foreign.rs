//! Files that somebody else could have written, or that are broken: none is believed, and each is told of.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use cell::journal::Mark;
use cell::notification::payload;
use cell::service::Event;

use crate::file::{CLIENT_TOKEN, boot, saved, uptime};
use crate::scene::{Scene, THING, name, says, skipped, subscribed, up};

/// What is done to a good file before the agent starts.
type Spoil = fn(&Path);

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("a file");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("ours");
}

/// A gateway whose rejoin file is right but for what `spoil` did. It must tell of it with these words, use nothing of
/// it, and serve all the same.
async fn ignored(spoil: Spoil, words: &str) {
    let (scene, broker) = Scene::strict(1, |file| file).await;
    let tunnel = scene.tunnel(1);
    let path = scene.gateway.rejoin();
    let good = saved(&scene.service, &tunnel, &boot(), uptime());
    write(&path, good.to_string().as_bytes());
    spoil(&path);
    let agent = scene.gateway.start().expect("an agent");
    let shown = path.display().to_string();
    let parts = ["WARN", &shown, words, "no tunnel is rejoined from it"];
    says(&agent, Mark::START, &parts).await;
    // A tunnel of the file would be dialled before the broker is.
    subscribed(&agent, Mark::START).await;
    let next = scene.tunnel(1);
    broker.notify(THING, &payload(&next)).expect("published");
    up(&next).await;
    scene.transfer(&next, 1, 10_000).await;
    let dialled = |event: &Event| event.tunnel() == Some(tunnel.id);
    assert_eq!(scene.service.count_events(Mark::START, dialled), 0);
    let log = agent.log();
    assert!(!log.iter().any(|line| line.contains(&name(&tunnel))));
    assert!(!log.iter().any(|line| line.contains(CLIENT_TOKEN)));
    scene.end(agent, &[&tunnel, &next]);
}

/// The proof that the files of this room would be believed if nothing were wrong with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_file_is_believed() {
    let (scene, _broker) = Scene::strict(1, |file| file).await;
    let tunnel = scene.tunnel(1);
    let good = saved(&scene.service, &tunnel, &boot(), uptime());
    write(&scene.gateway.rejoin(), good.to_string().as_bytes());
    let agent = scene.start().await;
    let event = up(&tunnel).await;
    let Event::Connected { client_token, .. } = event else {
        panic!("{event:?}")
    };
    assert_eq!(client_token.as_deref(), Some(CLIENT_TOKEN));
    scene.transfer(&tunnel, 1, 10_000).await;
    scene.end(agent, &[&tunnel]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_others_can_read_is_ignored() {
    let spoil = |path: &Path| {
        fs::set_permissions(path, Permissions::from_mode(0o644)).expect("ours");
    };
    ignored(spoil, "0600").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_symlink_is_ignored() {
    let spoil = |path: &Path| {
        let other = path.with_extension("other");
        fs::rename(path, &other).expect("ours");
        symlink(other, path).expect("a link");
    };
    // ELOOP, for which each C library has its own words.
    ignored(spoil, "(os error 40)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_somebody_else_is_ignored() {
    let probe = std::env::temp_dir().join(format!("cell-owner-{}", std::process::id()));
    fs::write(&probe, "").expect("a file");
    let can = chown(&probe, Some(65_534), None);
    fs::remove_file(&probe).expect("a file");
    if let Err(why) = can {
        return skipped(&format!(
            "only root gives files away ({why}): a file of somebody else"
        ));
    }
    let spoil = |path: &Path| chown(path, Some(65_534), None).expect("root");
    ignored(spoil, "own user").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_half_a_file_are_ignored() {
    const WORDS: &str = "is not what an agent writes";
    ignored(|path| write(path, b"\xff\0garbage\n"), WORDS).await;
    ignored(|path| write(path, b""), WORDS).await;
    let half = |path: &Path| {
        let whole = fs::read(path).expect("a file");
        write(path, &whole[..whole.len() - 2]);
    };
    ignored(half, WORDS).await;
    ignored(|path| write(path, b"{\"boot\":1,\"tunnels\":{}}"), WORDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_file_is_ignored() {
    let spoil = |path: &Path| {
        let mut whole = fs::read(path).expect("a file");
        // JSON all the same.
        whole.resize(1_000_000, b' ');
        write(path, &whole);
    };
    ignored(spoil, "is larger than any").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_file_is_ignored() {
    let spoil = |path: &Path| {
        fs::remove_file(path).expect("a file");
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("a pipe");
    };
    ignored(spoil, "expected a file").await;
}
