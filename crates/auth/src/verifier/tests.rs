use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use maglev_testkit::tokens::{ISSUER, TokenIssuer};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::*;
use crate::AUDIENCE;

const SUBJECT: &str = "system:serviceaccount:lb:maglev-controller";
const START: i64 = 1_800_000_000;
const HOUR: i64 = 3600;

struct Scene {
    issuer: TokenIssuer,
    verifier: Verifier,
    now: Arc<AtomicI64>,
}

impl Scene {
    fn new() -> Self {
        let scene = Self::without_keys();
        scene.read();
        scene
    }

    fn without_keys() -> Self {
        let now = Arc::new(AtomicI64::new(START));
        let clock = Arc::clone(&now);
        let clock: Clock =
            Arc::new(move || Timestamp::from_second(clock.load(Ordering::Relaxed)).expect("a valid time"));
        Self { issuer: TokenIssuer::new("own"), verifier: Verifier::new(AUDIENCE, clock), now }
    }

    /// Reads the API server's keys.
    fn read(&self) {
        self.verifier.set_keys(ISSUER.to_owned(), KeySet::from_json(&self.issuer.jwks()).expect("keys"));
    }

    fn set_time(&self, time: i64) {
        self.now.store(time, Ordering::Relaxed);
    }

    fn verify(&self, token: &str) -> Result<String, &'static str> {
        let verified = self.verifier.verify(token);
        verified.map(|claims| claims.sub.clone()).map_err(|denial| denial.reason())
    }

    async fn refresh_wanted(&self) -> bool {
        timeout(Duration::ZERO, self.verifier.refresh_wanted()).await.is_ok()
    }
}

fn claims() -> Value {
    TokenIssuer::claims(SUBJECT, AUDIENCE, START)
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

#[test]
fn tokens_of_the_api_server_are_accepted_by_each_algorithm() {
    let scene = Scene::new();
    for algorithm in ["RS256", "ES256", "ES384"] {
        let token = scene.issuer.sign(algorithm, &claims());
        assert_eq!(scene.verify(&token), Ok(SUBJECT.to_owned()), "{algorithm}");
        assert_eq!(scene.verify(&token), Ok(SUBJECT.to_owned()), "{algorithm}, remembered");
    }
    let one_audience = scene.issuer.sign("RS256", &with("aud", json!(AUDIENCE)));
    assert!(scene.verify(&one_audience).is_ok());
}

#[test]
fn tokens_for_others_are_refused_with_the_reason() {
    let scene = Scene::new();
    let signed = |claims: &Value| scene.issuer.sign("ES256", claims);
    for (token, reason) in [
        (signed(&with("aud", json!(["https://kubernetes.default.svc"]))), "WrongAudience"),
        (signed(&with("iss", json!("https://other.example"))), "WrongIssuer"),
        (signed(&with("nbf", json!(START + 61))), "NotYetValid"),
        (signed(&with("exp", json!(START - 61))), "Expired"),
        (signed(&with("exp", json!(i64::MIN))), "Expired"),
        (TokenIssuer::new("other").sign("ES256", &claims()), "UnknownKey"),
        (TokenIssuer::new("own").sign("ES256", &claims()), "WrongSignature"),
        ("x".to_owned(), "Malformed"),
        (signed(&json!({"iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE})), "Malformed"),
    ] {
        assert_eq!(scene.verify(&token), Err(reason));
        assert_eq!(scene.verify(&token), Err(reason), "remembered");
    }
    for at in [with("nbf", json!(START + 59)), with("exp", json!(START - 59))] {
        assert!(scene.verify(&signed(&at)).is_ok(), "clocks may differ by a minute");
    }
    assert!(scene.verify(&signed(&with("exp", json!(i64::MAX)))).is_ok());
}

#[test]
fn token_cannot_choose_its_algorithm() {
    let scene = Scene::new();
    let (rsa, p256) = (scene.issuer.key_id("RS256"), scene.issuer.key_id("ES256"));
    for (header, algorithm) in [
        (json!({"alg": "none", "kid": rsa}), "none"),
        (json!({"alg": "None", "kid": rsa}), "none"),
        // The public key as the secret of an HMAC.
        (json!({"alg": "HS256", "kid": rsa}), "HS256"),
        (json!({"alg": "RS512", "kid": rsa}), "RS256"),
        (json!({"alg": "ES256", "kid": rsa}), "ES256"),
        (json!({"alg": "RS256", "kid": p256}), "RS256"),
    ] {
        let token = scene.issuer.sign_as(&header, algorithm, &claims());
        assert_eq!(scene.verify(&token), Err("WrongAlgorithm"), "{header}");
    }
    for (header, reason) in [
        (json!({"alg": "RS256", "kid": rsa}), "WrongSignature"),
        (json!({"alg": "RS256"}), "UnknownKey"),
        (json!({"kid": rsa}), "Malformed"),
        (json!({"alg": "RS256", "kid": rsa, "crit": ["exp"]}), "Malformed"),
    ] {
        let token = scene.issuer.sign_as(&header, "none", &claims());
        assert_eq!(scene.verify(&token), Err(reason), "{header}");
    }
}

#[test]
fn changed_token_is_refused() {
    let scene = Scene::new();
    let token = scene.issuer.sign("ES256", &claims());
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("ASCII");
        // The last character of a part has bits that decoding requires to be zero.
        assert!(scene.verify(&changed).is_err(), "byte {at}");
    }
    assert!(scene.verify(&token).is_ok());
}

#[tokio::test(start_paused = true)]
async fn keys_are_wanted_once_unknown_ones_are_used_and_rotation_ends_old_ones() {
    let mut scene = Scene::without_keys();
    let old = scene.issuer.sign("ES256", &claims());
    assert_eq!(scene.verify(&old), Err("NoKeys"));
    assert!(scene.refresh_wanted().await);
    scene.read();
    assert!(scene.verify(&old).is_ok());
    assert!(!scene.refresh_wanted().await);

    scene.issuer = TokenIssuer::new("new");
    let new = scene.issuer.sign("ES256", &claims());
    // A flood of unknown keys is one wish.
    for _ in 0..1000 {
        assert_eq!(scene.verify(&new), Err("UnknownKey"));
    }
    assert!(scene.refresh_wanted().await);
    assert!(!scene.refresh_wanted().await);
    scene.read();
    assert!(scene.verify(&new).is_ok());
    assert_eq!(scene.verify(&old), Err("UnknownKey"), "the verdict of the old keys is forgotten");
}

#[test]
fn flood_of_tokens_does_not_displace_good_verdicts_or_grow() {
    let scene = Scene::new();
    let good = scene.issuer.sign("ES256", &claims());
    assert!(scene.verify(&good).is_ok());
    for number in 0..3 * MAX_VERDICTS {
        assert_eq!(scene.verify(&format!("{number}")), Err("Malformed"));
        assert!(scene.verifier.0.state.lock().verdicts.len() <= MAX_VERDICTS);
    }
    assert!(scene.verifier.0.state.lock().verdicts.values().any(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn expired_token_is_taken_for_a_day_only_while_the_api_server_is_away() {
    let scene = Scene::new();
    let token = scene.issuer.sign("ES256", &claims());
    scene.set_time(START + HOUR + 61);
    assert_eq!(scene.verify(&token), Err("Expired"));
    assert!(scene.refresh_wanted().await, "the API server may be away");
    scene.verifier.read_failed();
    assert!(scene.verify(&token).is_ok());
    scene.set_time(START + 3 * HOUR);
    assert!(scene.verify(&token).is_ok(), "away for more than two hours");
    scene.set_time(START + 25 * HOUR);
    assert!(scene.verify(&token).is_ok());
    scene.set_time(START + 25 * HOUR + 1);
    assert_eq!(scene.verify(&token), Err("Expired"));
    scene.set_time(START + 2 * HOUR);
    scene.read();
    assert_eq!(scene.verify(&token), Err("Expired"), "the API server is back");
    scene.verifier.read_failed();
    assert_eq!(scene.verify(&token), Err("Expired"), "the API server was reached after the token's end");
}

#[tokio::test(start_paused = true)]
async fn keys_are_kept_while_the_api_server_is_away() {
    let scene = Scene::new();
    let began = Instant::now();
    for _ in 0..12 {
        tokio::time::advance(Duration::from_mins(10)).await;
        let now = START + i64::try_from(began.elapsed().as_secs()).expect("a small number");
        scene.set_time(now);
        scene.verifier.read_failed();
        let token = scene.issuer.sign("RS256", &TokenIssuer::claims(SUBJECT, AUDIENCE, now));
        assert!(scene.verify(&token).is_ok(), "after {:?}", began.elapsed());
        let other = TokenIssuer::new("other").sign("RS256", &claims());
        assert_eq!(scene.verify(&other), Err("UnknownKey"));
    }
}
