//! Which tunnel: variables, flags and authorities.

use cell::agent::AgentBuilder;
use cell::service::{Protocol, ServiceOptions, client_token};

use crate::stage::{AGENT, LIMIT, Stage};
use crate::{bare, echo, round_trip, trusting};

#[tokio::test]
async fn the_variables_of_the_reference() {
    let target = echo();
    let client = client_token();
    let stage = Stage::with(ServiceOptions::default(), &["ssh"], |service, tunnel| {
        trusting(service)
            .args(["-d", &format!("ssh={}", target.address())])
            .env("AWSIOT_TUNNEL_ENDPOINT", service.endpoint())
            .env("AWSIOT_TUNNEL_ACCESS_TOKEN", &tunnel.destination_token)
            .env("AWSIOT_TUNNEL_CLIENT_TOKEN", &client)
            // Empty ones, as unit files leave them, say nothing.
            .env("AWSIOT_TUNNEL_REGION", "")
    })
    .await;
    let mut raw = stage.raw(Protocol::V3).await;
    round_trip(&mut raw, "ssh").await;
    stage.end();
}

#[tokio::test]
async fn flags_go_before_variables() {
    let stage = Stage::with(ServiceOptions::default(), &["ssh"], |service, tunnel| {
        bare(service, tunnel)
            .token("AQGAAX-not-this-one")
            .args([
                "-t",
                &tunnel.destination_token,
                "-d",
                "9",
                "-m",
                "destination",
            ])
            .env("AWSIOT_TUNNEL_ENDPOINT", "localhost:9")
            .env("AWSIOT_TUNNEL_REGION", "eu-central-1")
    })
    .await;
    let told = |line: &str| line.contains("-t/--access-token") && line.contains("prefer");
    let line = stage.agent.wait_line(told, LIMIT).await;
    line.expect("a warning about the token on the command line");
    stage.end();
}

#[tokio::test]
async fn a_folder_of_authorities_is_trusted() {
    let stage = Stage::with(ServiceOptions::default(), &["ssh"], |service, tunnel| {
        let builder = AgentBuilder::new(AGENT).expect("a folder");
        let folder = builder.folder().join("certs");
        std::fs::create_dir(&folder).expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).expect("a file");
        };
        let other = cell::certs::Authority::new().expect("an authority");
        write("a.pem", &other.ca_pem());
        write("b.crt", service.ca_pem());
        write("README", "Authorities of the plant.\n");
        builder
            .args(["-e", &service.endpoint(), "-d", "9"])
            .arg("--capath")
            .arg(folder)
            .token(&tunnel.destination_token)
    })
    .await;
    stage.end();
}
