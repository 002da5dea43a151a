//! One request in, its replies out: what VPP's main thread does with a message.
//!
//! Called by `server` for each frame. The rules of the socket are kept here: a request of unknown
//! id or wrong size gets no answer, and neither does one that names another client's index, though
//! it is carried out.

use std::time::Duration;

use bytes::BytesMut;

use super::{
    cli,
    fib::Route as FibRoute,
    ids::{self, Numbered},
    lb::{Lb, Refusal},
    options::Release,
    prefix::Prefix,
    requests,
    vpp::World,
};
use maglev_vpp::{
    codec::{self, CodecError, Text},
    errno,
    messages::{
        self, Dump, Envelope, Message, Request,
        ip::{FIB_PATH, IpRouteLookupV2, IpRouteLookupV2Reply, Route},
        lb as wire,
        memclnt::{
            ControlPing, ControlPingReply, MessageTable, SockclntCreate, SockclntCreateReply, SockclntDelete,
            SockclntDeleteReply,
        },
        vlib::{CliInband, CliInbandReply},
        vpe::{ShowVersion, ShowVersionReply},
    },
};

const NO_SUCH_FIB: i32 = -3;
/// `fib_source_t` of the route to an application server.
const SOURCE_RR: u8 = 18;
const PATH_DROP: u32 = 2;

/// What becomes of VPP and the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Both live on.
    GoOn,
    /// The connection is closed.
    Close,
    Die,
}

/// One request's turn.
pub struct Turn<'a> {
    pub world: &'a mut World,
    client: u32,
    out: &'a mut BytesMut,
    pub fate: Fate,
}

/// Carries out the request in `body` of the connection whose client index is `client` and appends
/// the replies to `out`.
pub fn dispatch(world: &mut World, client: u32, body: &[u8], out: &mut BytesMut) -> Fate {
    let Some(id) = body.first_chunk::<2>().map(|id| u16::from_be_bytes(*id)) else { return Fate::GoOn };
    let Some(id) = ids::known(world.vpp.release, id) else { return Fate::GoOn };
    let mut turn = Turn { world, client, out, fate: Fate::GoOn };
    // An error is a request of the wrong size or with an impossible value: VPP says nothing.
    match turn.route(id, body) {
        Ok(()) => turn.fate,
        Err(reason) => {
            tracing::debug!(id, %reason, "simulated vpp ignores a request");
            Fate::GoOn
        }
    }
}

impl Turn<'_> {
    fn route(&mut self, id: u16, body: &[u8]) -> Result<(), CodecError> {
        match id {
            SockclntCreate::ID => self.greet(body),
            SockclntDelete::ID => self.call(body, Self::goodbye),
            ControlPing::ID => self.call(body, Self::ping),
            ShowVersion::ID => self.call(body, Self::version),
            CliInband::ID => self.call(body, Self::cli),
            IpRouteLookupV2::ID => self.call(body, Self::route_lookup),
            wire::LbConf::ID => self.call(body, requests::conf),
            wire::LbConfGet::ID => self.call(body, requests::conf_get),
            wire::LbAddDelVip::ID => self.call(body, requests::vip),
            wire::LbAddDelVipV2::ID => self.call(body, requests::vip_v2),
            wire::LbAddDelAs::ID => self.call(body, requests::server),
            wire::LbAddDelAsV2::ID => self.call(body, requests::server_v2),
            wire::LbAsSetWeight::ID => self.call(body, requests::weight),
            wire::LbFlushVip::ID => self.call(body, requests::flush),
            wire::LbVipDump::ID => self.dump(body, requests::vips),
            wire::LbAsDump::ID => self.dump(body, requests::servers),
            wire::LbAsV2Dump::ID => self.dump(body, requests::servers_v2),
            _ => Ok(()),
        }
    }

    /// The VPP that it is.
    pub fn release(&self) -> Release {
        self.world.vpp.release
    }

    /// The plugin's state.
    pub fn lb(&mut self) -> &mut Lb {
        &mut self.world.vpp.lb
    }

    /// The number that stands for `refusal`. VPP dies of one.
    pub fn refused(&mut self, refusal: Refusal) -> i32 {
        if refusal == Refusal::Fatal {
            self.fate = Fate::Die;
        }
        refusal.retval()
    }

    fn call<M>(&mut self, body: &[u8], handle: impl FnOnce(&mut Self, &M) -> M::Reply) -> Result<(), CodecError>
    where
        M: Request<Reply: Numbered>,
    {
        let (envelope, request) = messages::decode::<M>(body)?;
        self.world.journal.count(M::NAME);
        let reply = handle(self, &request);
        let swallowed = self.world.faults.swallows(M::NAME);
        if !swallowed && envelope.client_index == self.client {
            self.put(envelope.context, &reply);
        }
        Ok(())
    }

    fn dump<M>(&mut self, body: &[u8], handle: impl FnOnce(&mut Self, &M) -> Vec<M::Details>) -> Result<(), CodecError>
    where
        M: Dump<Details: Numbered>,
    {
        let (envelope, request) = messages::decode::<M>(body)?;
        self.world.journal.count(M::NAME);
        let details = handle(self, &request);
        let swallowed = self.world.faults.swallows(M::NAME);
        if !swallowed && envelope.client_index == self.client {
            for entry in &details {
                self.put(envelope.context, entry);
            }
        }
        Ok(())
    }

    fn put<M: Numbered>(&mut self, context: u32, message: &M) {
        messages::encode(
            Envelope { id: ids::id::<M>(self.world.vpp.release), client_index: 0, context },
            message,
            self.out,
        );
    }

    fn greet(&mut self, body: &[u8]) -> Result<(), CodecError> {
        let (envelope, request) = messages::decode::<SockclntCreate>(body)?;
        self.world.journal.count(SockclntCreate::NAME);
        tracing::debug!(client = request.name.as_str(), "simulated vpp has a new client");
        let reply = SockclntCreateReply {
            response: 0,
            index: self.client,
            table: MessageTable(ids::table(self.world.vpp.release)),
        };
        if !self.world.faults.swallows(SockclntCreate::NAME) {
            self.put(envelope.context, &reply);
        }
        Ok(())
    }

    fn goodbye(&mut self, _: &SockclntDelete) -> SockclntDeleteReply {
        self.fate = Fate::Close;
        // 1 is what a real VPP says here, not an error.
        SockclntDeleteReply { response: 1 }
    }

    fn ping(&mut self, _: &ControlPing) -> ControlPingReply {
        let client_index = match self.release() {
            Release::V26_10 => self.client,
            // As recorded, and nobody needs it.
            Release::V26_06 => 0,
        };
        ControlPingReply { retval: 0, client_index, vpe_pid: self.world.vpp.pid }
    }

    fn cli(&mut self, request: &CliInband) -> CliInbandReply {
        let text = cli::answer(self.lb(), &request.cmd);
        let garbled = self.world.faults.garbled_cli;
        CliInbandReply { retval: 0, reply: if garbled { cli::garble(&text) } else { text } }
    }

    fn version(&mut self, _: &ShowVersion) -> ShowVersionReply {
        let (version, build_date) = match self.world.vpp.release {
            Release::V26_10 => ("26.10-rc0~374-gb575ec2c56d", "2026-11-22T22:48:06"),
            Release::V26_06 => ("26.06-release", "2026-11-22T23:10:07"),
        };
        ShowVersionReply {
            retval: 0,
            program: Text::new("vpe"),
            version: Text::new(version),
            build_date: Text::new(build_date),
            build_directory: Text::new("/build/vpp"),
        }
    }

    fn route_lookup(&mut self, request: &IpRouteLookupV2) -> IpRouteLookupV2Reply {
        let asked = request.prefix;
        let nothing = |retval| IpRouteLookupV2Reply {
            retval,
            route: Route { table_id: 0, stats_index: 0, prefix: codec::Prefix::ZERO, source: 0, paths: Vec::new() },
        };
        if request.table_id != 0 {
            return nothing(NO_SUCH_FIB);
        }
        let prefix = Prefix::new(asked.address, asked.length);
        let found = prefix.and_then(|prefix| self.lb().fib.lookup(prefix, request.exact != 0));
        found.map_or_else(
            || nothing(errno::NO_SUCH_ENTRY),
            |found| IpRouteLookupV2Reply { retval: 0, route: route(found) },
        )
    }
}

/// A route as VPP describes it. Its one path drops: a simulated VPP has no interfaces.
fn route(found: FibRoute) -> Route {
    let mut path = Vec::with_capacity(FIB_PATH);
    path.extend_from_slice(&u32::MAX.to_be_bytes()); // no interface
    path.extend_from_slice(&[0; 8]); // table id, reverse path id
    path.extend_from_slice(&[1, 0]); // weight, preference
    path.extend_from_slice(&PATH_DROP.to_be_bytes());
    path.resize(FIB_PATH, 0);
    let prefix = codec::Prefix { address: found.prefix.address(), length: found.prefix.length() };
    Route { table_id: 0, stats_index: found.stats_index, prefix, source: SOURCE_RR, paths: path }
}

/// The time since VPP's start as its dumps print it.
pub fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
