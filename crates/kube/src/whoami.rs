//! Who the API server takes us for.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{Api, Client, api::PostParams};

/// The user's name, as the API server's log has it.
///
/// # Errors
/// If the API server does not answer, or does not tell.
pub async fn whoami(client: &Client) -> Result<String, kube::Error> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
    let user = answer.status.and_then(|status| status.user_info).and_then(|user| user.username);
    Ok(user.unwrap_or_else(|| "(not named)".to_owned()))
}
