// The documents that the server serves. The server computes everything; the page only shows it. Unknown values are
// absent; times are RFC 3339 in UTC.

/** An RFC 3339 time. */
export type Time = string;

/** A position in one agent's numbered events. */
export interface AsOf {
  readonly epoch: string;
  readonly seq: number;
}

/** Positions by node. */
export type AsOfs = Readonly<Record<string, AsOf>>;

/** Values by name. */
export type Named<T> = Readonly<Record<string, T>>;

/** A JSON merge patch (RFC 7396). */
export type Patch = unknown;

/** The document of all nodes. */
export interface Summary {
  readonly as_of: AsOfs;
  /** The server's clock. */
  readonly now: Time;
  /** Absent: no controller writes statuses, so conditions mean nothing. */
  readonly controller: "present" | "absent";
  readonly kubernetes: "watching" | "unavailable" | "none";
  /** Namespace and selector of the discovery of agents, and a command that lists their pods. */
  readonly looked_for: { readonly namespace: string; readonly selector: string; readonly command: string };
  readonly totals: {
    readonly vips: number;
    readonly backends: number;
    readonly nodes: number;
    readonly reporting: number;
  };
  readonly strip: Strip;
  readonly nodes: Named<NodeHead>;
  readonly rows: Named<Row>;
  readonly problems: Named<ObjectProblems>;
  readonly transitions: Named<Transition>;
}

/** Counts of problems; 0 = none. */
export interface Strip {
  readonly down: number;
  readonly dropping: number;
  readonly silent: number;
  readonly standby: number;
  readonly disagree: number;
  readonly rejected: number;
  readonly sync: number;
}

/** A count that can be used as a filter. */
export type Flag = keyof Strip;

/** Summary of one node. */
export interface NodeHead {
  readonly pod: string;
  readonly address: string;
  readonly link: "connecting" | "connected" | "unreachable";
  /** Nodes that do not report are excluded from totals and rows; their values are the last known. */
  readonly reporting: boolean;
  readonly error?: string;
  readonly last_seen?: Time;
  readonly version?: string;
  readonly commit?: string;
  readonly build_date?: string;
  readonly started?: Time;
  readonly ready: boolean;
  readonly not_ready?: string;
  readonly vpp: "connected" | "lost" | "unknown";
  readonly vpp_version?: string;
  readonly vpp_since?: Time;
  /** Address families whose probe path is suspect. */
  readonly suspect: readonly ("ipv4" | "ipv6")[];
  /** Held removals by id. */
  readonly holds: Named<Hold>;
  readonly failed_steps: number;
  readonly sync_error?: string;
  readonly last_pass?: Time;
  readonly foreign: number;
  readonly rate: number;
  readonly frontends: number;
  readonly backends: number;
  readonly flags: readonly Flag[];
}

/** Removals that are held. */
export interface Hold {
  readonly removals: number;
  readonly until: Time;
}

/** `standby`: up, with another active pool than the first. */
export type FrontendState = "up" | "down" | "unknown" | "standby";

/** Summary of one frontend over all nodes. */
export interface Row {
  readonly vip: Vip;
  /** `withdrawn`: another Frontend has precedence for the VIP. */
  readonly state: FrontendState | "withdrawn";
  /** Sort key, highest first. */
  readonly rank: number;
  readonly flags: readonly Flag[];
  /** State by node, with the programming result unless it is Programmed: "up", "down Failed", "withdrawn". */
  readonly cells: Named<string>;
  /** Number of backends that are up on every reporting node. */
  readonly up: number;
  readonly total: number;
  readonly rate: number;
  readonly dropping: number;
  readonly since?: Time;
  readonly reason: string;
}

/** Protocol `any` and port 0: all ports. */
export interface Vip {
  readonly address: string;
  readonly protocol: string;
  readonly port: number;
}

/** An object with problems on any reporting node. */
export interface ObjectProblems {
  readonly kind: Kind;
  readonly name: string;
  readonly nodes: readonly string[];
  readonly problems: readonly Problem[];
  /** VPP keeps the object's present configuration. */
  readonly held: boolean;
}

/** A problem of an object. */
export interface Problem {
  readonly reason: string;
  readonly field: string;
  readonly message: string;
}

export type Kind = "HealthCheck" | "Backend" | "Frontend" | "LoadBalancerConfig" | "MaglevNode" | "Node";

/** A state transition of one object, merged over nodes. */
export interface Transition {
  readonly kind: "Backend" | "Frontend";
  readonly name: string;
  readonly from?: string;
  readonly to: string;
  readonly code?: string;
  readonly at: Time;
  readonly nodes: readonly string[];
}

/** The document of one node. */
export interface NodeState {
  readonly node: string;
  readonly as_of: AsOf;
  readonly now: Time;
  readonly frontends: Named<FrontendDetail>;
  readonly backends: Named<BackendDetail>;
  readonly health_checks: Named<HealthCheckDetail>;
  /** Absent while VPP is not connected. */
  readonly vpp?: VppPanel;
  readonly foreign: Named<Vip & { readonly length: number }>;
  /** Absent until the agent has read its configuration. */
  readonly settings?: {
    readonly load_balancer_config?: string;
    readonly sync_interval_s: number;
    readonly foreign_vips: "Keep" | "Remove";
    readonly mass_removal_hold_s: number;
    readonly fail_open: boolean;
  };
  readonly claims_unknown: boolean;
  /** The node's MaglevNode, and the LoadBalancerConfig that it uses. */
  readonly objects: Named<ObjectInfo>;
}

/** A frontend on one node. */
export interface FrontendDetail {
  readonly vip: Vip;
  readonly state: FrontendState;
  readonly since?: Time;
  readonly code?: string;
  /** Absent: no pool is active. */
  readonly active_pool?: string;
  readonly standing: "serving" | "held" | "withdrawn";
  readonly problems: readonly Problem[];
  /** Absent: as VPP has it. */
  readonly encap?: string;
  readonly sticky: boolean;
  readonly on_backend_down: "Flush" | "Keep";
  readonly table_length: number;
  readonly uid: string;
  readonly generation: number;
  readonly report?: Report;
  /** Absent: VPP does not have the VIP. */
  readonly in_vpp?: {
    readonly encap?: string;
    readonly sticky?: boolean;
    readonly table_length?: number;
    readonly servers: number;
  };
  readonly pools: Named<PoolDetail>;
  readonly counters?: Counters;
}

/** Progress of programming a frontend on one node. */
export interface Report {
  readonly result: "Pending" | "Programmed" | "Held" | "Failed";
  readonly reason?: string;
  readonly generation: number;
  readonly fingerprint: string;
}

/** A pool on one node. */
export interface PoolDetail {
  readonly order: number;
  readonly active: boolean;
  readonly members: Named<Member>;
}

/** A backend in a pool on one node. */
export interface Member {
  readonly order: number;
  readonly address?: string;
  readonly weight: number;
  readonly effective: number;
  readonly in_vpp?: number;
  readonly buckets?: number;
  /** Reason of the weight. */
  readonly condition:
    | "up"
    | "down"
    | "suspect"
    | "never-known"
    | "unknown"
    | "check-missing"
    | "unreadable"
    | "paused"
    | "disabled";
  /** The weight is kept as VPP has it. */
  readonly kept: boolean;
}

export type BackendState = "up" | "down" | "unknown" | "paused" | "disabled";

/** A backend on one node. */
export interface BackendDetail {
  readonly address: string;
  readonly admin_state: "Enabled" | "Paused" | "Disabled";
  readonly state: BackendState;
  readonly since?: Time;
  readonly code?: string;
  readonly check?: string;
  readonly check_type?: string;
  /** Went down while the probe path was suspect. */
  readonly in_doubt: boolean;
  /** Oldest first. */
  readonly history: readonly Past[];
  readonly generation: number;
  readonly problems: readonly Problem[];
}

/** A transition of one backend on one node. */
export interface Past {
  readonly from: string;
  readonly to: string;
  readonly at: Time;
  readonly code?: string;
}

/** A health check as the node resolved it. */
export interface HealthCheckDetail {
  readonly type: string;
  readonly interval_ms: number;
  readonly fast_interval_ms: number;
  readonly down_interval_ms: number;
  readonly timeout_ms: number;
  readonly rise: number;
  readonly fall: number;
  readonly generation: number;
  readonly problems: readonly Problem[];
}

/** VPP on one node. */
export interface VppPanel {
  readonly version: string;
  readonly build_date: string;
  readonly pid: number;
  readonly capabilities: string;
  readonly since: Time;
  readonly boot_time?: Time;
  readonly heartbeat?: number;
  readonly weights: boolean;
  readonly conf?: {
    readonly ipv4_source?: string;
    readonly ipv6_source?: string;
    readonly sticky_buckets_per_core?: number;
    readonly flow_timeout_s?: number;
  };
  readonly vips: number;
  readonly application_servers: number;
  readonly dump_at?: Time;
  readonly counters_at?: Time;
}

/** VPP's counters of a VIP; a counter is absent if VPP does not report it. */
export interface Counters {
  readonly existing?: Count;
  readonly first?: Count;
  readonly untracked?: Count;
  readonly no_server?: Count;
  /** Counters of the prefix's route, which VIPs of one address share. */
  readonly route?: { readonly packets: Count; readonly bytes: Count };
}

/** Total since VPP added the VIP, and rate per second between the last two readings. */
export interface Count {
  readonly total: number;
  readonly rate: number;
}

/** The part of a node's state that concerns one frontend. */
export type NodeCut = Pick<NodeState, "frontends" | "backends" | "health_checks">;

/** The document of one frontend on all nodes. */
export interface FrontendPage {
  readonly as_of: AsOfs;
  readonly now: Time;
  readonly nodes: Named<NodeCut>;
  readonly objects: Named<ObjectInfo>;
}

/** A Kubernetes object. */
export interface ObjectInfo {
  readonly kind: Kind;
  readonly name: string;
  readonly uid: string;
  readonly created: Time;
  readonly generation: number;
  /** Absent: no controller has written a status. */
  readonly observed_generation?: number;
  readonly conditions: Named<Condition>;
  readonly changed?: { readonly by: string; readonly at: Time; readonly operation: "Apply" | "Update" };
  readonly annotations: Named<string>;
  readonly kubectl: readonly string[];
}

/** A condition of an object's status. */
export interface Condition {
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
  readonly since: Time;
  readonly generation?: number;
}

/** The server. */
export interface Version {
  readonly version: string;
  readonly commit: string;
  readonly build_date?: Time;
  readonly started: Time;
  readonly replica: string;
  readonly admin: boolean;
}

/** The first message of a stream. */
export interface Hello {
  /** Missed messages follow, so documents need not be refetched. */
  readonly resumed: boolean;
  readonly replica: string;
  readonly now: Time;
  readonly nodes: AsOfs;
  readonly version: string;
  readonly beats?: { readonly asked: number; readonly watched: number };
}

/** A line of an agent's log. */
export interface Line {
  readonly seq?: number;
  readonly time: Time;
  readonly level: "debug" | "info" | "warn" | "error";
  readonly name: string;
  readonly attributes: readonly (readonly [string, string])[];
}

/** The latest event of a backend's probe. */
export interface Beat {
  readonly phase: "start" | "done";
  readonly code?: string;
  readonly ok?: boolean;
  readonly ms?: number;
}

/** A message of the stream. */
export type Message =
  | { readonly event: "hello"; readonly data: Hello }
  | { readonly event: "summary"; readonly data: { readonly as_of?: AsOfs; readonly patch: Patch } }
  | {
      readonly event: "node";
      readonly data: { readonly node: string; readonly as_of?: AsOf; readonly patch: Patch };
    }
  | { readonly event: "object"; readonly data: { readonly key: string; readonly object?: ObjectInfo } }
  | {
      readonly event: "log";
      readonly data: { readonly node: string; readonly epoch: string; readonly lines: readonly Line[] };
    }
  | { readonly event: "beats"; readonly data: { readonly node: string; readonly beats: Named<Beat> } }
  | { readonly event: "tick"; readonly data: { readonly now: Time } }
  | { readonly event: "resync"; readonly data: { readonly reason: string } };

/** Mode of sign-in. */
export type AdminMode = "basic" | "token";

/** A session of a signed-in user. */
export interface AdminSession {
  readonly who: string;
  readonly csrf: string;
  /** Expiry, in seconds since the epoch. */
  readonly ends: number;
}

/** The state of sign-in for this page. */
export interface Session {
  readonly mode: AdminMode;
  readonly signed_in?: AdminSession;
}

/** Credentials of either mode. */
export type Credentials = { readonly user: string; readonly password: string } | { readonly token: string };

/** Desired state of a Backend. */
export type AdminState = "Enabled" | "Paused" | "Disabled";

/** An operator change. */
export type Change =
  | { readonly field: "admin_state"; readonly backend: string; readonly state: AdminState }
  | {
      readonly field: "weight";
      readonly frontend: string;
      readonly pool: string;
      readonly backend: string;
      readonly weight: number;
    };

/** The expected effect of a change. */
export interface Preview {
  readonly change: string;
  /** Frontends whose weights can change. */
  readonly touches: readonly string[];
  /** The subset of `touches` that would be left without any effective weight on some node. */
  readonly leaves_unserved: readonly string[];
  /** Number of nodes that responded. */
  readonly nodes: number;
}

/** The result of a change, and its progress on the nodes. */
export interface ChangeResult {
  readonly change: string;
  readonly old: string;
  readonly new: string;
  readonly written: boolean;
  readonly by: string;
  readonly taken_from: readonly string[];
  readonly event_failed?: string;
  readonly in_effect_on: number;
  readonly nodes: number;
  readonly seconds: number;
  readonly pending: Readonly<Record<string, string>>;
}
