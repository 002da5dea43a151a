//! Handles one request and returns its replies, like VPP's main thread.
//!
//! Called by `server` for each frame. Implements the rules of the socket: a request with an unknown ID or a wrong size gets no
//! reply. A request with the client index of another client gets no reply either, but is executed.

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
    vpp::SimulatorState,
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

/// The state of VPP and of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionAction {
    Keep,
    Close,
    Die,
}

/// The context of one request.
pub struct RequestContext<'a> {
    pub state: &'a mut SimulatorState,
    client: u32,
    out: &'a mut BytesMut,
    pub action: ConnectionAction,
}

/// Executes the request `body` from the connection with the client index `client`, and appends the replies to `out`.
pub fn dispatch(state: &mut SimulatorState, client: u32, body: &[u8], out: &mut BytesMut) -> ConnectionAction {
    let Some(id) = body.first_chunk::<2>().map(|id| u16::from_be_bytes(*id)) else { return ConnectionAction::Keep };
    let Some(id) = ids::id_in_26_10(state.vpp.release, id) else { return ConnectionAction::Keep };
    let mut context = RequestContext { state, client, out, action: ConnectionAction::Keep };
    // A wrong size or an invalid value. VPP sends no reply.
    match context.route(id, body) {
        Ok(()) => context.action,
        Err(reason) => {
            tracing::debug!(id, %reason, "the simulated VPP ignored an invalid request");
            ConnectionAction::Keep
        }
    }
}

impl RequestContext<'_> {
    fn route(&mut self, id: u16, body: &[u8]) -> Result<(), CodecError> {
        match id {
            SockclntCreate::ID => self.create_client(body),
            SockclntDelete::ID => self.call(body, Self::delete_client),
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

    pub fn release(&self) -> Release {
        self.state.vpp.release
    }

    pub fn lb(&mut self) -> &mut Lb {
        &mut self.state.vpp.lb
    }

    /// The error number of `refusal`. One kind of refusal crashes VPP.
    pub fn refused(&mut self, refusal: Refusal) -> i32 {
        if refusal == Refusal::Fatal {
            self.action = ConnectionAction::Die;
        }
        refusal.retval()
    }

    fn call<M>(&mut self, body: &[u8], handle: impl FnOnce(&mut Self, &M) -> M::Reply) -> Result<(), CodecError>
    where
        M: Request<Reply: Numbered>,
    {
        let (envelope, request) = messages::decode::<M>(body)?;
        self.state.journal.count(M::NAME);
        let reply = self.handle(M::NAME, |context| handle(context, &request));
        if let Some(reply_context) = self.reply_context::<M>(&envelope) {
            self.put(reply_context, &reply);
        }
        Ok(())
    }

    fn dump<M>(&mut self, body: &[u8], handle: impl FnOnce(&mut Self, &M) -> Vec<M::Details>) -> Result<(), CodecError>
    where
        M: Dump<Details: Numbered>,
    {
        let (envelope, request) = messages::decode::<M>(body)?;
        self.state.journal.count(M::NAME);
        let details = self.handle(M::NAME, |context| handle(context, &request));
        if let Some(reply_context) = self.reply_context::<M>(&envelope) {
            for entry in &details {
                self.put(reply_context, entry);
            }
        }
        Ok(())
    }

    /// Handles a request; if the reply is to be false, with a changed state, which has no effect.
    fn handle<R>(&mut self, name: &str, handle: impl FnOnce(&mut Self) -> R) -> R {
        let Some(lie) = self.state.faults.take_lie(name) else { return handle(self) };
        let truth = self.lb().clone();
        lie.apply(self.lb());
        let reply = handle(self);
        *self.lb() = truth;
        reply
    }

    /// The context of the reply; `None` if there is no reply.
    fn reply_context<M: Message>(&mut self, envelope: &Envelope) -> Option<u32> {
        let faults = &mut self.state.faults;
        let (is_swallowed, is_confused) = (faults.swallows(M::NAME), faults.confuses(M::NAME));
        let context = envelope.context.wrapping_add(is_confused.into());
        (!is_swallowed && envelope.client_index == self.client).then_some(context)
    }

    fn put<M: Numbered>(&mut self, context: u32, message: &M) {
        messages::encode(
            Envelope { id: ids::id::<M>(self.state.vpp.release), client_index: 0, context },
            message,
            self.out,
        );
    }

    fn create_client(&mut self, body: &[u8]) -> Result<(), CodecError> {
        let (envelope, request) = messages::decode::<SockclntCreate>(body)?;
        self.state.journal.count(SockclntCreate::NAME);
        tracing::debug!(client = request.name.as_str(), "new client of the simulated VPP");
        let reply = SockclntCreateReply {
            response: 0,
            index: self.client,
            table: MessageTable(ids::table(self.state.vpp.release)),
        };
        if !self.state.faults.swallows(SockclntCreate::NAME) {
            self.put(envelope.context, &reply);
        }
        Ok(())
    }

    fn delete_client(&mut self, _: &SockclntDelete) -> SockclntDeleteReply {
        self.action = ConnectionAction::Close;
        // The value 1 is not an error, but that of a real VPP.
        SockclntDeleteReply { response: 1 }
    }

    fn ping(&mut self, _: &ControlPing) -> ControlPingReply {
        let client_index = match self.release() {
            Release::V26_10 => self.client,
            // As recorded; not used by clients.
            Release::V26_06 => 0,
        };
        ControlPingReply { retval: 0, client_index, vpe_pid: self.state.vpp.pid }
    }

    fn cli(&mut self, request: &CliInband) -> CliInbandReply {
        let text = cli::output(self.lb(), &request.cmd);
        let faults = &mut self.state.faults;
        let text = faults.cut(text);
        CliInbandReply { retval: 0, reply: if faults.garbled_cli { cli::garble(&text) } else { text } }
    }

    fn version(&mut self, _: &ShowVersion) -> ShowVersionReply {
        let (version, build_date) = match self.state.vpp.release {
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
        let requested = request.prefix;
        let rejected = |retval| IpRouteLookupV2Reply {
            retval,
            route: Route { table_id: 0, stats_index: 0, prefix: codec::Prefix::ZERO, source: 0, paths: Vec::new() },
        };
        if request.table_id != 0 {
            return rejected(NO_SUCH_FIB);
        }
        let prefix = Prefix::new(requested.address, requested.length);
        let fib_route = prefix.and_then(|prefix| self.lb().fib.lookup(prefix, request.exact != 0));
        fib_route.map_or_else(
            || rejected(errno::NO_SUCH_ENTRY),
            |fib_route| IpRouteLookupV2Reply { retval: 0, route: route(fib_route) },
        )
    }
}

/// A route in VPP's format. Its only path drops packets: a simulated VPP has no interfaces.
fn route(fib_route: FibRoute) -> Route {
    let mut path = Vec::with_capacity(FIB_PATH);
    path.extend_from_slice(&u32::MAX.to_be_bytes()); // no interface
    path.extend_from_slice(&[0; 8]); // table id, reverse path id
    path.extend_from_slice(&[1, 0]); // weight, preference
    path.extend_from_slice(&PATH_DROP.to_be_bytes());
    path.resize(FIB_PATH, 0);
    let prefix = codec::Prefix { address: fib_route.prefix.address(), length: fib_route.prefix.length() };
    Route { table_id: 0, stats_index: fib_route.stats_index, prefix, source: SOURCE_RR, paths: path }
}

/// The time since VPP's start as printed in its dumps.
pub fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
