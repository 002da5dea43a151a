//! The sticky table of VPP's worker: flows that keep their application server, in buckets of four entries.
//!
//! An entry is found by bucket, hash and VIP, and only until its timeout. Nothing removes an entry but a flow that takes its
//! place after the timeout, so an entry refers to its server beyond the timeout. A flush only clears the references.

/// Entries per bucket.
const PER_BUCKET: usize = 4;
/// Limit of the number of buckets, for memory. VPP has none.
const MAX_BUCKETS: u32 = 1 << 22;
/// The offset of the table's clock, by which entries that were never used have timed out.
const CLOCK_OFFSET: u64 = 10_000;
/// The value of an entry without a server, and the VIP of flushed entries.
const NO_SERVER: u32 = 0;
const NO_VIP: u32 = u32::MAX;

/// The time in VPP's resolution: seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableTime(u32);

impl TableTime {
    pub fn new(now: std::time::Duration) -> Self {
        Self((now.as_secs() + CLOCK_OFFSET) as u32)
    }

    /// Seconds until `other`, negative if it has passed.
    fn until(self, other: u32) -> i32 {
        other.wrapping_sub(self.0).cast_signed()
    }
}

/// A flow to a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub hash: u32,
    /// Index of the VIP in the plugin's pool.
    pub vip: u32,
}

/// The result of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracking {
    /// The flow has an entry with this server.
    Existing(u32),
    /// The flow was new and has an entry now.
    First,
    /// The flow has no entry, because no entry of its bucket has timed out.
    Untracked,
}

/// One cache line of VPP.
#[derive(Clone, Debug, Default)]
struct Bucket {
    hash: [u32; PER_BUCKET],
    timeout: [u32; PER_BUCKET],
    vip: [u32; PER_BUCKET],
    server: [u32; PER_BUCKET],
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FlowTable {
    /// Empty before the first packet.
    buckets: Vec<Bucket>,
    /// Number of entries by server.
    references: Vec<u32>,
}

impl FlowTable {
    /// Looks a flow up and renews its entry. A new flow gets an entry with the server `new`, which is 0 if the VIP has no
    /// server. Such an entry is never found, but takes its place until the timeout.
    pub fn track(&mut self, flow: Flow, new: u32, now: TableTime, timeout: u32) -> Tracking {
        let end = now.0.wrapping_add(timeout);
        let place = flow.hash as usize & (self.buckets.len() - 1);
        let bucket = &mut self.buckets[place];
        let has_timed_out = |bucket: &Bucket, entry: usize| now.until(bucket.timeout[entry]) <= 0;
        let available = (0..PER_BUCKET).find(|&entry| has_timed_out(bucket, entry));
        let found = (0..PER_BUCKET).find(|&entry| {
            bucket.hash[entry] == flow.hash && bucket.vip[entry] == flow.vip && !has_timed_out(bucket, entry)
        });
        if let Some(entry) = found {
            bucket.timeout[entry] = end;
            if bucket.server[entry] != NO_SERVER {
                return Tracking::Existing(bucket.server[entry]);
            }
        }
        let Some(entry) = available else { return Tracking::Untracked };
        let old = std::mem::replace(&mut bucket.server[entry], new);
        (bucket.hash[entry], bucket.vip[entry], bucket.timeout[entry]) = (flow.hash, flow.vip, end);
        self.drop_reference(old);
        self.add_reference(new);
        Tracking::First
    }

    /// Allocates the table, if that was not done, with a power of two of buckets.
    pub fn allocate(&mut self, buckets: u32) {
        if self.buckets.is_empty() {
            self.buckets.resize(buckets.clamp(1, MAX_BUCKETS) as usize, Bucket::default());
        }
    }

    /// Drops the table.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Clears the references to a server. The entries stay until their timeout.
    pub fn flush(&mut self, server: u32) {
        if self.references(server) == 0 {
            return;
        }
        for bucket in &mut self.buckets {
            for (entry, vip) in bucket.server.iter_mut().zip(&mut bucket.vip).filter(|(entry, _)| **entry == server) {
                (*entry, *vip) = (NO_SERVER, NO_VIP);
            }
        }
        self.references[server as usize] = 0;
    }

    /// Number of entries that refer to a server, including those that have timed out.
    pub fn references(&self, server: u32) -> u32 {
        self.references.get(server as usize).copied().unwrap_or(0)
    }

    /// The entries that refer to a server, counted one by one.
    #[cfg(test)]
    pub fn entries_with(&self, server: u32) -> u64 {
        self.buckets.iter().flat_map(|bucket| bucket.server).filter(|entry| *entry == server).count() as u64
    }

    /// Number of entries in use as VPP prints it, which includes those that time out now, flushed entries and entries
    /// without a server. `None` before the first packet.
    pub fn usage(&self, now: TableTime) -> Option<u64> {
        let timeouts = self.buckets.iter().flat_map(|bucket| bucket.timeout);
        let used = timeouts.filter(|&timeout| now.until(timeout) >= 0).count();
        (!self.buckets.is_empty()).then_some(used as u64)
    }

    fn add_reference(&mut self, server: u32) {
        if server == NO_SERVER {
            return;
        }
        let index = server as usize;
        self.references.resize(self.references.len().max(index + 1), 0);
        self.references[index] += 1;
    }

    fn drop_reference(&mut self, server: u32) {
        if server != NO_SERVER {
            self.references[server as usize] -= 1;
        }
    }
}
