//! Login pages of guest networks, in the place of the service.

use cell::proxy::{Answer, Portal, ProxyOptions};
use cell::service::{Service, ServiceOptions, Tunnel};

use crate::stage::Stage;
use crate::{agent, nowhere, proxy, told};

#[tokio::test]
async fn a_login_page_in_the_place_of_the_service_is_named() {
    let portal = Portal::start().await.expect("a free port");
    let build = |service: &Service, tunnel: &Tunnel| {
        let endpoint = format!("localhost:{}", portal.address().port());
        agent(service, tunnel, nowhere(), "", "").args(["-e", &endpoint])
    };
    let stage = Stage::started(ServiceOptions::default(), &["robot1"], build).await;
    told(
        &stage.agent,
        &[
            "TLS failed",
            "does not speak TLS",
            "captive portal",
            "log in",
        ],
    )
    .await;
    // It is waited out.
    told(&stage.agent, &["next attempt (number 2)"]).await;
    stage.end();
}

#[tokio::test]
async fn a_login_page_in_the_place_of_a_proxy_is_named() {
    let options = ProxyOptions {
        answer: Answer::Page,
        ..ProxyOptions::default()
    };
    let proxy = proxy(options).await;
    let build = |service: &Service, tunnel: &Tunnel| {
        let lines = format!("[proxy]\nurl = \"http://{}\"", proxy.address());
        agent(service, tunnel, nowhere(), "", &lines)
    };
    let stage = Stage::started(ServiceOptions::default(), &["robot1"], build).await;
    told(
        &stage.agent,
        &["does not speak TLS", "captive portal", "log in"],
    )
    .await;
    proxy.answer(Answer::LetThrough);
    stage.connected_after(cell::journal::Mark::START).await;
    stage.end();
}
