//! The identity that the API server authenticated this process as (SelfSubjectReview).

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{Api, Client, api::PostParams};

/// The user's name, as in the API server's audit log.
///
/// # Errors
/// If the API server does not answer, or refuses the review.
pub async fn whoami(client: &Client) -> Result<String, kube::Error> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
    let user = answer.status.and_then(|status| status.user_info).and_then(|user| user.username);
    Ok(user.unwrap_or_else(|| "(not named)".to_owned()))
}
