//! Lookup of the route to a VIP's prefix, whose counters are in the stats segment.

use std::net::IpAddr;

use super::Lb;
use crate::{codec::Prefix, errno, error::Error, messages::ip::IpRouteLookupV2};

impl Lb {
    /// The stats index of the route to exactly this prefix; `None` if there is no such route.
    pub fn route_stats_index(
        &self,
        address: IpAddr,
        length: u8,
    ) -> impl Future<Output = Result<Option<u32>, Error>> + Send + use<> {
        let reply = self.session.call(&IpRouteLookupV2 { table_id: 0, exact: 1, prefix: Prefix { address, length } });
        async move {
            match reply.await {
                Ok(reply) => Ok(Some(reply.route.stats_index)),
                Err(error) if error.retval() == Some(errno::NO_SUCH_ENTRY) => Ok(None),
                Err(error) => Err(error),
            }
        }
    }
}
