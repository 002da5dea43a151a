// What the server sends: three documents, and the messages that change them. The server computes everything; the
// page shows it. What is not known is absent; times are RFC 3339 in UTC.

/** An RFC 3339 time. */
export type Time = string;

/** How far a document or a message is along one agent's numbered events. */
export interface AsOf {
  readonly epoch: string;
  readonly seq: number;
}

/** The same per node. */
export type AsOfs = Readonly<Record<string, AsOf>>;

/** Something keyed by name. */
export type Named<T> = Readonly<Record<string, T>>;

/** A JSON merge patch (RFC 7396). */
export type Patch = unknown;

/** What the first tab shows. */
export interface Summary {
  readonly as_of: AsOfs;
  /** The server's clock. */
  readonly now: Time;
  /** Absent: nobody wrote a status, so conditions say nothing. */
  readonly controller: "present" | "absent";
  readonly kubernetes: "watching" | "unavailable" | "none";
  /** Where agents were looked for, and the command that shows them. */
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

/** Counts of what is wrong; 0 = nothing. */
export interface Strip {
  readonly down: number;
  readonly dropping: number;
  readonly silent: number;
  readonly standby: number;
  readonly disagree: number;
  readonly rejected: number;
  readonly sync: number;
}

/** A count that filters. */
export type Flag = keyof Strip;

/** One node, in brief. */
export interface NodeHead {
  readonly pod: string;
  readonly address: string;
  readonly link: "connecting" | "connected" | "unreachable";
  /** Counted in totals and rows; otherwise what is shown is its last state. */
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
  /** Families whose probe path is suspect. */
  readonly suspect: readonly ("ipv4" | "ipv6")[];
  /** Removals that wait, by id. */
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

/** Removals that wait. */
export interface Hold {
  readonly removals: number;
  readonly until: Time;
}

/** Standby: up, but the active pool is not the first. */
export type FrontendState = "up" | "down" | "unknown" | "standby";

/** One frontend over all nodes. */
export interface Row {
  readonly vip: Vip;
  /** Withdrawn: another Frontend has the better claim. */
  readonly state: FrontendState | "withdrawn";
  /** The higher, the further up. */
  readonly rank: number;
  readonly flags: readonly Flag[];
  /** State and, unless Programmed, how far the node is: "up", "down Failed", "withdrawn". */
  readonly cells: Named<string>;
  /** Backends that are up on every reporting node. */
  readonly up: number;
  readonly total: number;
  readonly rate: number;
  readonly dropping: number;
  readonly since?: Time;
  readonly reason: string;
}

/** any/0 = all ports. */
export interface Vip {
  readonly address: string;
  readonly protocol: string;
  readonly port: number;
}

/** An object with problems, on any reporting node. */
export interface ObjectProblems {
  readonly kind: Kind;
  readonly name: string;
  readonly nodes: readonly string[];
  readonly problems: readonly Problem[];
  /** Left as VPP has it. */
  readonly held: boolean;
}

/** What is wrong with an object. */
export interface Problem {
  readonly reason: string;
  readonly field: string;
  readonly message: string;
}

/** A kind of object. */
export type Kind = "HealthCheck" | "Backend" | "Frontend" | "LoadBalancerConfig" | "MaglevNode" | "Node";

/** A change of one object's state, folded over nodes. */
export interface Transition {
  readonly kind: "Backend" | "Frontend";
  readonly name: string;
  readonly from?: string;
  readonly to: string;
  readonly code?: string;
  readonly at: Time;
  readonly nodes: readonly string[];
}

/** All of one node. */
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
  /** Absent while the agent has not read its configuration. */
  readonly settings?: {
    readonly load_balancer_config?: string;
    readonly sync_interval_s: number;
    readonly foreign_vips: "Keep" | "Remove";
    readonly mass_removal_hold_s: number;
    readonly fail_open: boolean;
  };
  readonly claims_unknown: boolean;
  /** What Kubernetes has of its MaglevNode, and of the LoadBalancerConfig that it uses. */
  readonly objects: Named<ObjectInfo>;
}

/** A frontend on one node. */
export interface FrontendDetail {
  readonly vip: Vip;
  readonly state: FrontendState;
  readonly since?: Time;
  readonly code?: string;
  /** Absent = none serves. */
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
  /** Absent: VPP has no such VIP. */
  readonly in_vpp?: {
    readonly encap?: string;
    readonly sticky?: boolean;
    readonly table_length?: number;
    readonly servers: number;
  };
  readonly pools: Named<PoolDetail>;
  readonly counters?: Counters;
}

/** How far a node is with a frontend. */
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
  /** Why the weight is what it is. */
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
  /** The weight stays as VPP has it. */
  readonly kept: boolean;
}

/** A backend's state on one node. */
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

/** A health check as a node resolved it. */
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

/** What VPP counts of a VIP; absent where it does not say. */
export interface Counters {
  readonly existing?: Count;
  readonly first?: Count;
  readonly untracked?: Count;
  readonly no_server?: Count;
  /** Of the prefix, shared by VIPs of one address. */
  readonly route?: { readonly packets: Count; readonly bytes: Count };
}

/** Since VPP added the VIP, and per second between the last two readings. */
export interface Count {
  readonly total: number;
  readonly rate: number;
}

/** A node's state, cut down to one frontend. */
export type NodeCut = Pick<NodeState, "frontends" | "backends" | "health_checks">;

/** An opened frontend. */
export interface FrontendPage {
  readonly as_of: AsOfs;
  readonly now: Time;
  readonly nodes: Named<NodeCut>;
  readonly objects: Named<ObjectInfo>;
}

/** What Kubernetes has of an object. */
export interface ObjectInfo {
  readonly kind: Kind;
  readonly name: string;
  readonly uid: string;
  readonly created: Time;
  readonly generation: number;
  /** Absent = no controller wrote it. */
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

/** The server itself. */
export interface Version {
  readonly version: string;
  readonly commit: string;
  readonly build_date?: Time;
  readonly started: Time;
  readonly replica: string;
  readonly admin: boolean;
}
