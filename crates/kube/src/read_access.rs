//! The right of a user to read everything that the dashboard shows.

use futures::future::try_join_all;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};

use super::objects::ObjectKind;

/// A resource that the client's user may not list in all namespaces, of those that the dashboard shows; `None` if the
/// user may list all of them. Every authenticated user may ask the API server for this review.
///
/// # Errors
/// If the API server does not answer, or refuses the review.
pub async fn unlisted_resource(client: &Client) -> Result<Option<&'static str>, kube::Error> {
    let answers = try_join_all(ObjectKind::ALL.map(|kind| may_list(client, kind))).await?;
    let mut kinds = ObjectKind::ALL.into_iter().zip(answers);
    Ok(kinds.find_map(|(kind, allowed)| (!allowed).then_some(kind.resource())))
}

async fn may_list(client: &Client, kind: ObjectKind) -> Result<bool, kube::Error> {
    let (plural, group) = kind.resource().split_once('.').expect("a full resource name has a group");
    // Without a namespace, the review is about all namespaces.
    let attributes = ResourceAttributes {
        group: Some(group.to_owned()),
        resource: Some(plural.to_owned()),
        verb: Some("list".to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
