//! The identity that the API server authenticated this process as (SelfSubjectReview).

use k8s_openapi::{
    api::authentication::v1::{SelfSubjectReview, UserInfo},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Api, Client, api::PostParams};

/// The user's name, as in the API server's audit log.
///
/// # Errors
/// If the API server does not answer, or refuses the review.
pub async fn whoami(client: &Client) -> Result<String, kube::Error> {
    Ok(review(client).await?.username.unwrap_or_else(|| "(not named)".to_owned()))
}

/// This process's ServiceAccount as the owner of an object in `namespace`, which is deleted with the ServiceAccount; `None`
/// for other users and for a ServiceAccount of another namespace.
///
/// # Errors
/// If the API server does not answer, or refuses the review.
pub async fn service_account_owner(client: &Client, namespace: &str) -> Result<Option<OwnerReference>, kube::Error> {
    Ok(owner(review(client).await?, namespace))
}

async fn review(client: &Client) -> Result<UserInfo, kube::Error> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
    Ok(answer.status.and_then(|status| status.user_info).unwrap_or_default())
}

fn owner(UserInfo { username, uid, .. }: UserInfo, namespace: &str) -> Option<OwnerReference> {
    let username = username?;
    let (account_namespace, name) = username.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let uid = uid.filter(|_| account_namespace == namespace)?;
    let (api_version, kind, name) = ("v1".to_owned(), "ServiceAccount".to_owned(), name.to_owned());
    Some(OwnerReference { api_version, kind, name, uid, ..OwnerReference::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_account_of_the_namespace_is_an_owner() {
        let owner = |username: &str, uid: Option<&str>| {
            let (username, uid) = (Some(username.to_owned()), uid.map(str::to_owned));
            let owner = owner(UserInfo { username, uid, ..UserInfo::default() }, "maglev-system")?;
            Some(format!("{} {} {} {}", owner.api_version, owner.kind, owner.name, owner.uid))
        };
        let account = "system:serviceaccount:maglev-system:maglev-controller";
        assert_eq!(owner(account, Some("u-1")).as_deref(), Some("v1 ServiceAccount maglev-controller u-1"));
        assert_eq!(owner(account, None), None);
        assert_eq!(owner("system:serviceaccount:other:maglev-controller", Some("u-1")), None);
        assert_eq!(owner("system:serviceaccount:maglev-system", Some("u-1")), None);
        assert_eq!(owner("kubernetes-admin", Some("u-1")), None);
    }
}
