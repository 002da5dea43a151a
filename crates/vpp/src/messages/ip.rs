//! `ip.api`: the lookup of a VIP's route, which has the index of its counters in the stats segment.

use crate::codec::{CodecError, Prefix, Reader, Wire, Writer};

message! {
    /// Looks up a route.
    Request IpRouteLookupV2 = "ip_route_lookup_v2" 0x710d_6471 {
        /// Table id of the FIB; 0 = the default one.
        table_id: u32,
        /// 1 = exactly this prefix, 0 = the longest match.
        exact: u8,
        prefix: Prefix,
    }
}

message! {
    /// The reply to [`IpRouteLookupV2`].
    Reply IpRouteLookupV2Reply = "ip_route_lookup_v2_reply" 0x84cc_9e03 {
        /// 0 if the route exists.
        retval: i32,
        route: Route,
    }
}
answered!(IpRouteLookupV2 => IpRouteLookupV2Reply);

/// Size of a `vl_api_fib_path_t` in bytes, including the 16 labels of its stack.
pub const FIB_PATH: usize = 167;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Table id of the FIB.
    pub table_id: u32,
    /// Index of the route's counters in `/net/route/to`.
    pub stats_index: u32,
    pub prefix: Prefix,
    /// The source of the route (VPP `fib_source_t`).
    pub source: u8,
    /// The paths, [`FIB_PATH`] bytes each, at most 255; not parsed.
    pub paths: Vec<u8>,
}

impl Wire for Route {
    fn put(&self, to: &mut Writer<'_>) {
        self.table_id.put(to);
        self.stats_index.put(to);
        self.prefix.put(to);
        u8::try_from(self.paths.len() / FIB_PATH).expect("a route has at most 255 paths").put(to);
        self.source.put(to);
        to.put(&self.paths);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (table_id, stats_index, prefix) = (Wire::get(from)?, Wire::get(from)?, Wire::get(from)?);
        let paths = usize::from(u8::get(from)?);
        let source = Wire::get(from)?;
        Ok(Self { table_id, stats_index, prefix, source, paths: from.take(paths * FIB_PATH)?.to_vec() })
    }
}
