//! `cellgate open`: what is taken in, and what is refused.

use cell::notification;
use cell::target::Behaviour;
use serde_json::json;

use crate::gateway::{Cell, dials, name};
use crate::stage::AGENT;
use crate::{REFUSED, WRONG};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_from_standard_input_opens_the_tunnel() {
    let cell = Cell::start().await;
    let tunnel = cell.tunnel();
    // As other programs print it: over several lines, with fields that nobody knows.
    let mut value = notification::notification(&tunnel);
    value["somethingNew"] = json!({"a": [1, 2]});
    let pretty = serde_json::to_vec_pretty(&value).expect("JSON");
    let ran = cell.open(&pretty).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(
        ran.stdout,
        format!("tunnel {} has a place: 1 of 4 taken\n", name(&tunnel))
    );
    cell.connected(&tunnel).await;
    cell.carries(&tunnel).await;
    let status = cell.status().await;
    assert_eq!(status["tunnels"][0]["came"], "cellgate open");
    assert_eq!(status["tunnels"][0]["name"], json!(name(&tunnel)));
    cell.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_alone_and_a_file_open_tunnels() {
    let cell = Cell::start().await;
    let bare = cell.tunnel();
    let ran = cell
        .open(format!("  {}\r\n", bare.destination_token).as_bytes())
        .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let dash = cell.tunnel();
    let ran = cell
        .run(
            &["open", "--token-file", "-"],
            dash.destination_token.as_bytes(),
        )
        .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let in_file = cell.tunnel();
    let file = cell.gateway.folder().join("handed over.json");
    std::fs::write(&file, notification::payload(&in_file)).expect("a file");
    let file = file.to_str().expect("text");
    let ran = cell
        .run(&["open", "--token-file", file], b"not this one")
        .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for tunnel in [&bare, &dash, &in_file] {
        cell.connected(tunnel).await;
        cell.carries(tunnel).await;
    }
    cell.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_tunnel_for_us_is_refused_in_a_sentence_and_nothing_happens() {
    let cell = Cell::start().await;
    let tunnel = cell.tunnel();
    let good = notification::notification(&tunnel);
    let changed = |key: &str, value| {
        let mut changed = good.clone();
        changed[key] = value;
        changed.to_string().into_bytes()
    };
    let half = good.to_string().into_bytes();
    let half = half[..half.len() / 2].to_vec();
    let token = tunnel.destination_token.as_str();
    let twice = format!("{token} {token}");
    for (given, part) in [
        (
            changed("clientMode", json!("source")),
            "clientMode is \"source\"",
        ),
        (changed("clientMode", json!("both")), "clientMode is not"),
        (
            changed("clientAccessToken", json!("a b")),
            "printable ASCII",
        ),
        (
            changed("clientAccessToken", json!("A".repeat(3073))),
            "3073 bytes",
        ),
        (
            changed("clientAccessToken", json!(7)),
            "clientAccessToken is a number",
        ),
        (
            changed("region", json!("../../etc")),
            "not the name of an AWS region",
        ),
        (changed("region", json!(null)), "region is null"),
        (
            changed("services", json!(["a b"])),
            "service 1 is no service ID",
        ),
        (half, "it is not JSON"),
        (twice.into_bytes(), "printable ASCII"),
        ("tökén".as_bytes().to_vec(), "printable ASCII"),
        (vec![0xff, 0xfe], "the access token has"),
        (b"[]".to_vec(), ""),
        (Vec::new(), "nothing was given"),
        (b" \n\n ".to_vec(), ""),
        (vec![b'x'; 8 * 1024 + 1], "more than 8192 bytes"),
        (vec![b' '; 3 << 20], "more than 8192 bytes"),
    ] {
        let shown: String = String::from_utf8_lossy(&given).chars().take(60).collect();
        let ran = cell.open(&given).await;
        if given == b"[]" {
            // Two printable characters: by its form a token, and only the service knows better.
            assert_eq!(ran.code, Some(0), "{ran:?}");
            continue;
        }
        assert_eq!(ran.code, WRONG, "{shown}: {ran:?}");
        assert_eq!(ran.stdout, "", "{shown}");
        assert!(ran.stderr.starts_with("cellgate: "), "{shown}: {ran:?}");
        assert!(ran.stderr.contains(part), "{shown}: {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{shown}: {ran:?}");
        assert!(!ran.stderr.contains(&token[..16]), "{shown}: {ran:?}");
    }
    // The one that the service refused is over by itself.
    let status = cell
        .status_that(|status| status["places"]["taken"] == 0)
        .await;
    assert_eq!(status["tunnels"], json!([]));
    cell.never_dialled(&tunnel);
    // After all of that the same notification is new, and good.
    let ran = cell.open(&notification::payload(&tunnel)).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    cell.connected(&tunnel).await;
    cell.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_arguments_are_refused_and_no_token_is_repeated() {
    let cell = Cell::start().await;
    let tunnel = cell.tunnel();
    let token = tunnel.destination_token.as_str();
    let no_file = cell.gateway.folder().join("nothing here");
    for (arguments, part) in [
        (vec!["open", token], "an argument more"),
        (
            vec!["open", "-t", token],
            "never taken from the command line",
        ),
        (vec!["open", "--access-token", token], "never taken"),
        (
            vec!["open", "--token-file", no_file.to_str().expect("text")],
            "cannot be read",
        ),
        (vec!["open", "--token-file", "/"], "cannot be read"),
        (vec!["close", token], "eight digits"),
        (vec!["status", token], "an argument more"),
        (vec!["status", "--jason"], "--jason"),
    ] {
        let ran = cell.run(&arguments, token.as_bytes()).await;
        assert_eq!(ran.code, WRONG, "{part}: {ran:?}");
        assert!(ran.stderr.contains(part), "{part}: {ran:?}");
        assert_eq!(ran.stdout, "", "{part}");
    }
    cell.never_dialled(&tunnel);
    cell.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_a_region_needs_one_in_the_file() {
    // No endpoint and no region: the notification is to name it.
    let folder_ca = "[tunnel]";
    let cell = Cell::with(
        Behaviour::Echo,
        |file| file.without("tunnel"),
        |agent| agent,
    )
    .await;
    let tunnel = cell.tunnel();
    let ran = cell.open(tunnel.destination_token.as_bytes()).await;
    assert_eq!(ran.code, REFUSED, "{ran:?}");
    assert!(ran.stderr.contains("its region is not known"), "{ran:?}");
    assert!(ran.stderr.contains(folder_ca), "it says where: {ran:?}");
    assert_eq!(cell.status().await["places"]["taken"], 0);
    cell.never_dialled(&tunnel);
    // The audit tells who came in vain.
    let refused = |line: &serde_json::Value| line["tunnel"] == json!(name(&tunnel));
    let line = cell.gateway.wait_audit(refused, crate::stage::LIMIT).await;
    let line = line.expect("an audit line");
    assert!(line.to_string().contains("cellgate open"), "{line}");
    cell.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_every_place_taken_it_is_refused_and_a_token_twice_is_one_tunnel() {
    let cell = Cell::with(
        Behaviour::Echo,
        |file| file.table("places", "tunnels = 1"),
        |agent| agent,
    )
    .await;
    let first = cell.opened().await;
    let second = cell.tunnel();
    let ran = cell.open(&notification::payload(&second)).await;
    assert_eq!(ran.code, REFUSED, "{ran:?}");
    assert!(
        ran.stderr
            .contains("all 1 places are taken by connected tunnels")
            && ran.stderr.contains("cellgate close"),
        "{ran:?}"
    );
    // The first one again, as a notification and alone: told so, and not dialled again.
    for given in [
        notification::payload(&first),
        first.destination_token.clone().into_bytes(),
    ] {
        let ran = cell.open(&given).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(
            ran.stdout,
            format!("tunnel {} is open already\n", name(&first))
        );
    }
    cell.carries(&first).await;
    assert_eq!(dials(&first), 1, "{:?}", first.events());
    cell.never_dialled(&second);
    let ran = cell.run(&["close"], b"").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // A refusal is no end: with a place free the same token is taken in.
    cell.status_that(|status| status["places"]["taken"] == 0)
        .await;
    let ran = cell.open(&notification::payload(&second)).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    cell.connected(&second).await;
    cell.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_agent_each_command_says_so() {
    let mut cell = Cell::start().await;
    cell.agent.kill().await.expect("it runs");
    let tunnel = cell.tunnel();
    let given = notification::payload(&tunnel);
    // With the socket of a dead agent, without a socket, and without the folder.
    for round in 0..3 {
        if round == 1 {
            std::fs::remove_file(cell.gateway.socket()).expect("it is there");
        }
        if round == 2 {
            std::fs::remove_dir_all(cell.gateway.runtime()).expect("it is there");
        }
        for arguments in [
            &["open"][..],
            &["close"],
            &["status"],
            &["status", "--json"],
        ] {
            let ran = cell.run(arguments, &given).await;
            assert_eq!(ran.code, REFUSED, "{arguments:?}: {ran:?}");
            assert_eq!(ran.stdout, "", "{arguments:?}");
            assert!(ran.stderr.contains("no agent runs here"), "{ran:?}");
            assert!(ran.stderr.contains("systemctl start cellgate"), "{ran:?}");
        }
    }
    cell.never_dialled(&tunnel);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_there_is_named() {
    let nowhere = "/nowhere/cellgate.toml";
    for word in ["open", "close", "status"] {
        let mut command = tokio::process::Command::new(cell::agent::under_test(AGENT));
        command.args([word, "--config", nowhere]);
        command.stdin(std::process::Stdio::null());
        let ran = command.output().await.expect("it runs");
        assert_eq!(ran.status.code(), WRONG, "{ran:?}");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(
            said.contains(nowhere) && said.contains("no such file"),
            "{said}"
        );
    }
}
