//! Computes a pod's status from the states of its containers, by the rules of a kubelet. Pure.

use k8s_openapi::jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{ContainerStatus, HostIP, PodCondition, PodIP, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::pod::RunningPod;

/// The containers of a pod, in the order of the spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Containers {
    pub init: Vec<ContainerStatus>,
    pub main: Vec<ContainerStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    pub fn from_spec(spec: &k8s_openapi::api::core::v1::PodSpec) -> Self {
        match spec.restart_policy.as_deref() {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        }
    }

    /// True if a container with this exit code is restarted.
    pub fn restarts(self, exit_code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => exit_code != 0,
            Self::Never => false,
        }
    }

    /// The policy of init containers, which are not restarted after success.
    pub fn for_init(self) -> Self {
        if self == Self::Never { Self::Never } else { Self::OnFailure }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    /// The phase of a pod; `terminating` if its containers will not be restarted.
    pub fn from_containers(containers: &Containers, policy: RestartPolicy, terminating: bool) -> Self {
        let restarts = |status: &ContainerStatus, policy: RestartPolicy| {
            exit_code(status).is_some_and(|code| !terminating && policy.restarts(code))
        };
        let init_failed =
            |s: &&ContainerStatus| exit_code(s).is_some_and(|code| code != 0) && !restarts(s, policy.for_init());
        if containers.init.iter().find(init_failed).is_some() {
            return Self::Failed;
        }
        let (main, ended) = (&containers.main, |s: &ContainerStatus| exit_code(s).is_some() && !restarts(s, policy));
        if main.iter().all(ended) {
            let clean = main.iter().all(|status| exit_code(status) == Some(0));
            return if clean { Self::Succeeded } else { Self::Failed };
        }
        let never_ran = |s: &ContainerStatus| is_waiting(s) && s.last_state.is_none();
        if main.iter().any(never_ran) { Self::Pending } else { Self::Running }
    }
}

fn exit_code(status: &ContainerStatus) -> Option<i32> {
    Some(status.state.as_ref()?.terminated.as_ref()?.exit_code)
}

fn is_waiting(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_none_or(|state| state.waiting.is_some())
}

/// Builds the status of one pod, and keeps the transition times of its conditions.
#[derive(Debug, Default)]
pub struct StatusWriter {
    conditions: Vec<PodCondition>,
    start_time: Option<Time>,
}

impl StatusWriter {
    /// Continues with the conditions of an existing status.
    pub fn from_status(status: Option<&PodStatus>) -> Self {
        let conditions = status.and_then(|status| status.conditions.clone()).unwrap_or_default();
        Self { conditions, start_time: status.and_then(|status| status.start_time.clone()) }
    }

    pub fn status(
        &mut self,
        pod: &RunningPod,
        containers: &Containers,
        terminating: bool,
        now: Timestamp,
    ) -> PodStatus {
        let phase = Phase::from_containers(containers, RestartPolicy::from_spec(pod.spec()), terminating);
        let start_time = self.start_time.get_or_insert(Time(now)).clone();
        PodStatus {
            phase: Some(phase.as_str().to_owned()),
            conditions: Some(self.conditions(containers, phase, now)),
            container_statuses: Some(containers.main.clone()),
            init_container_statuses: Some(containers.init.clone()).filter(|init| !init.is_empty()),
            host_ip: Some(pod.node.address.to_string()),
            host_ips: Some(vec![HostIP { ip: pod.node.address.to_string() }]),
            pod_ip: Some(pod.ip.to_string()),
            pod_ips: Some(vec![PodIP { ip: pod.ip.to_string() }]),
            start_time: Some(start_time),
            ..PodStatus::default()
        }
    }

    fn conditions(&mut self, containers: &Containers, phase: Phase, now: Timestamp) -> Vec<PodCondition> {
        let finished = matches!(phase, Phase::Succeeded | Phase::Failed);
        let names =
            |statuses: Vec<&ContainerStatus>| statuses.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(" ");
        let incomplete = names(containers.init.iter().filter(|s| exit_code(s) != Some(0)).collect());
        let unready = names(containers.main.iter().filter(|s| !s.ready).collect());
        let initialized = match incomplete.as_str() {
            "" => None,
            list => Some(("ContainersNotInitialized", format!("containers with incomplete status: [{list}]"))),
        };
        let ready = match unready.as_str() {
            _ if phase == Phase::Succeeded => Some(("PodCompleted", String::new())),
            _ if finished => Some(("PodFailed", String::new())),
            "" => None,
            list => Some(("ContainersNotReady", format!("containers with unready status: [{list}]"))),
        };
        let conditions = [
            ("PodScheduled", None),
            ("PodReadyToStartContainers", finished.then(|| ("PodCompleted", String::new()))),
            ("Initialized", initialized),
            ("ContainersReady", ready.clone()),
            ("Ready", ready),
        ];
        self.conditions = conditions.into_iter().map(|(kind, problem)| self.condition(kind, problem, now)).collect();
        self.conditions.clone()
    }

    /// A condition that is true without a problem. Its transition time changes only with its status.
    fn condition(&self, kind: &str, problem: Option<(&str, String)>, now: Timestamp) -> PodCondition {
        let status = if problem.is_none() { "True" } else { "False" };
        let before = self.conditions.iter().find(|condition| condition.type_ == kind);
        let since = before.filter(|condition| condition.status == status).and_then(|c| c.last_transition_time.clone());
        let (reason, message) = problem.map(|(reason, message)| (reason.to_owned(), message)).unzip();
        PodCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            last_transition_time: Some(since.unwrap_or(Time(now))),
            reason,
            message: message.filter(|text| !text.is_empty()),
            ..PodCondition::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated};
    use serde_json::json;

    use super::*;

    fn container(state: &serde_json::Value) -> ContainerStatus {
        let base = json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        serde_json::from_value(base).unwrap()
    }

    fn ended(exit_code: i32) -> ContainerStatus {
        container(&json!({"terminated": {"exitCode": exit_code}}))
    }

    fn waiting() -> ContainerStatus {
        container(&json!({"waiting": {"reason": "ContainerCreating"}}))
    }

    fn running() -> ContainerStatus {
        container(&json!({"running": {}}))
    }

    fn crashed() -> ContainerStatus {
        let terminated = Some(ContainerStateTerminated { exit_code: 1, ..Default::default() });
        let last_state = Some(ContainerState { terminated, ..Default::default() });
        ContainerStatus { last_state, ..container(&json!({"waiting": {"reason": "CrashLoopBackOff"}})) }
    }

    fn phase(main: &[ContainerStatus], policy: RestartPolicy) -> Phase {
        Phase::from_containers(&Containers { init: Vec::new(), main: main.to_vec() }, policy, false)
    }

    #[test]
    fn pod_is_pending_until_each_container_has_run() {
        assert_eq!(phase(&[waiting()], RestartPolicy::Always), Phase::Pending);
        assert_eq!(phase(&[running(), waiting()], RestartPolicy::Always), Phase::Pending);
        assert_eq!(phase(&[running(), crashed()], RestartPolicy::Always), Phase::Running);
    }

    #[test]
    fn pod_is_finished_once_no_container_will_be_restarted() {
        for (policy, code, expected) in [
            (RestartPolicy::Always, 0, Phase::Running),
            (RestartPolicy::OnFailure, 0, Phase::Succeeded),
            (RestartPolicy::OnFailure, 1, Phase::Running),
            (RestartPolicy::Never, 0, Phase::Succeeded),
            (RestartPolicy::Never, 1, Phase::Failed),
        ] {
            assert_eq!(phase(&[ended(code)], policy), expected, "{policy:?} {code}");
        }
        let containers = Containers { init: Vec::new(), main: vec![ended(143)] };
        assert_eq!(Phase::from_containers(&containers, RestartPolicy::Always, true), Phase::Failed);
        let containers = Containers { init: vec![ended(1)], main: vec![waiting()] };
        assert_eq!(Phase::from_containers(&containers, RestartPolicy::Never, false), Phase::Failed);
        assert_eq!(Phase::from_containers(&containers, RestartPolicy::Always, false), Phase::Pending);
    }

    #[test]
    fn transition_time_changes_with_the_status() {
        let mut writer = StatusWriter::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut ready_at = |containers: &Containers, second| {
            let all = writer.conditions(containers, Phase::Running, at(second));
            let ready = all.into_iter().find(|c| c.type_ == "Ready").unwrap();
            (ready.status, ready.message, ready.last_transition_time.unwrap().0)
        };
        let not_ready = Containers { init: Vec::new(), main: vec![running()] };
        let ready = Containers { init: Vec::new(), main: vec![ContainerStatus { ready: true, ..running() }] };
        let message = Some("containers with unready status: [c]".to_owned());
        assert_eq!(ready_at(&not_ready, 1), ("False".to_owned(), message.clone(), at(1)));
        assert_eq!(ready_at(&not_ready, 2), ("False".to_owned(), message, at(1)));
        assert_eq!(ready_at(&ready, 3), ("True".to_owned(), None, at(3)));
        assert_eq!(ready_at(&ready, 4), ("True".to_owned(), None, at(3)));
    }
}
