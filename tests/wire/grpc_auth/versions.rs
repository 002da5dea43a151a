//! Clients and agents of the version before TLS, with those of today.

use std::sync::Arc;

use maglev_auth::{AuthMode, TokenSource};
use maglev_fleet::{AgentTarget, Connect as _, Direct, Error, Fleet, FleetOptions, LinkState, Security, Source};
use maglev_testkit::{AgentServer, Credentials, credentials::VIEWER, within};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::secure;

fn security(credentials: &Credentials, plain_fallback: bool) -> Security {
    let token = watch::Sender::new(Ok(credentials.token(VIEWER).into())).subscribe();
    Security { tls: Some(credentials.tls()), token: TokenSource::shared(token), assume_tls: false, plain_fallback }
}

/// The agent as its pod describes it.
fn target(server: &AgentServer) -> AgentTarget {
    AgentTarget { tls_address: server.tls_address, ..AgentTarget::from(server.address) }
}

/// The result of a call: the node's name, or the reason and text of the error.
async fn call(security: Security, target: &AgentTarget) -> Result<String, (&'static str, String)> {
    let failed = |error: Error| (error.reason(), error.describe());
    let client = within(Direct::new(security).connect(target)).await.map_err(|error| failed(Error::Connect(error)))?;
    Ok(within(client.version()).await.map_err(|error| failed(error.into()))?.node)
}

#[tokio::test]
async fn new_client_connects_to_agents_with_and_without_tls() {
    let credentials = Credentials::new();
    let (new, old) = (secure(&credentials, AuthMode::Required).await, AgentServer::start(1, Default::default()).await);
    for server in [&new, &old] {
        assert_eq!(call(security(&credentials, false), &target(server)).await, Ok("node-a".to_owned()));
    }
    new.stop().await;
    old.stop().await;
}

#[tokio::test]
async fn old_client_is_answered_until_tokens_are_required() {
    for (mode, is_answered) in [(AuthMode::Off, true), (AuthMode::Permissive, true), (AuthMode::Required, false)] {
        let credentials = Credentials::new();
        let server = secure(&credentials, mode).await;
        let answer = call(Security::default(), &target(&server)).await;
        assert_eq!(answer.is_ok(), is_answered, "{mode:?}: {answer:?}");
        if let Err((reason, text)) = answer {
            assert_eq!(reason, "TokenRefused");
            assert!(text.starts_with("TokenRefused: GetVersion: this port has no TLS"), "{text}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn agent_that_is_not_trusted_gets_no_token_and_is_named() {
    let (credentials, other) = (Credentials::new(), Credentials::new());
    let server = secure(&credentials, AuthMode::Permissive).await;
    let (reason, text) = call(security(&other, false), &target(&server)).await.unwrap_err();
    assert_eq!(reason, "TLSNotTrusted");
    assert!(text.contains("the certificate for maglevd.lb.maglev.vpp.io is not trusted"), "{text}");
    // While certificates are introduced.
    assert_eq!(call(security(&other, true), &target(&server)).await, Ok("node-a".to_owned()));
    let mut nothing = security(&credentials, false);
    nothing.token = TokenSource::file("/nonexistent/token");
    assert_eq!(call(nothing, &target(&server)).await, Ok("node-a".to_owned()), "permissive");
    server.stop().await;
}

#[tokio::test]
async fn missing_token_is_explained_by_the_client() {
    let credentials = Credentials::new();
    let server = secure(&credentials, AuthMode::Required).await;
    let mut nothing = security(&credentials, false);
    nothing.token = TokenSource::file("/nonexistent/token");
    let (reason, text) = call(nothing, &target(&server)).await.unwrap_err();
    assert_eq!(reason, "TokenRefused");
    assert!(
        text.contains("cannot read the token /nonexistent/token") && text.contains("the call has no token"),
        "{text}"
    );
    server.stop().await;
}

/// The words that the dashboard and maglevc show for the node.
#[tokio::test]
async fn link_of_a_fleet_names_the_reason_and_recovers() {
    let mut credentials = Credentials::without_certificate();
    let server = secure(&credentials, AuthMode::Required).await;
    let authorities = credentials.dir().join("ca.crt");
    let tls = maglev_auth::ClientTls::new(
        maglev_auth::Authorities::File(authorities.clone()),
        &maglev_auth::agent_name("lb"),
    );
    let security = Security { tls: Some(Arc::new(tls.unwrap())), assume_tls: true, ..security(&credentials, false) };
    let fleet: Fleet = Fleet::new(Source::Addresses(vec![server.tls_address.unwrap()]), FleetOptions::direct(security));
    let (handle, mut updates, end) = (fleet.handle(), fleet.handle().subscribe(), CancellationToken::new());
    let running = tokio::spawn(fleet.run(end.clone()));
    let mut until = async |condition: &dyn Fn(&LinkState) -> bool| {
        within(async {
            while !handle.nodes().iter().any(|node| condition(&node.link)) {
                updates.next().await;
            }
        })
        .await;
    };
    until(&|link| {
        matches!(link, LinkState::Unreachable { reason: "TLSNotTrusted", error, .. } if error.starts_with("TLSNotTrusted: "))
    })
    .await;
    credentials.rotate(jiff::Timestamp::now());
    std::fs::write(authorities, credentials.authorities()).unwrap();
    until(&|link| *link == LinkState::Connected).await;
    end.cancel();
    within(running).await.unwrap();
    server.stop().await;
}
