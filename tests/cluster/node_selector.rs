//! The node selector of a LoadBalancerConfig as the API server stores it.

use crate::harness::cluster;

/// Applies a LoadBalancerConfig with these lines in its spec, without storing it. Returns the output of kubectl.
async fn dry_run(spec: &str) -> Result<(), String> {
    let manifest = format!(
        "apiVersion: maglev.vpp.io/v1alpha1\nkind: LoadBalancerConfig\nmetadata: {{name: selector}}\nspec:\n  \
         sync: {{foreignVIPs: Remove}}\n{spec}"
    );
    let args = ["apply", "--dry-run=server", "--filename=-"];
    let output = cluster().await.kubectl_with(&args, &manifest).await;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

#[tokio::test]
async fn label_without_a_value_selects_no_node() {
    // The API server drops the null, so that an empty selector is left, which would select every Node.
    for selector in ["  nodeSelector: {edge: }\n", "  nodeSelector: {}\n"] {
        let error = dry_run(selector).await.unwrap_err();
        assert!(error.contains("spec.nodeSelector") && error.contains("leave out nodeSelector"), "{selector}: {error}");
    }
    for selector in ["", "  nodeSelector: {edge: ''}\n", "  nodeSelector: {edge: 'true'}\n"] {
        assert_eq!(dry_run(selector).await, Ok(()), "{selector}");
    }
}
