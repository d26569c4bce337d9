//! The network between clients and broker: direct, or through the proxy that disturbs it.

use barnacle_faultnet::{Choice, Counts, Fault, Proxy};
use std::net::SocketAddr;
use tokio::runtime::Runtime;

/// The way to the broker.
pub(crate) struct Network {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    // The proxy closes its connections before its runtime ends.
    proxy: Option<Proxy>,
    _runtime: Option<Runtime>,
}

impl Network {
    /// The way to a broker at `broker`; through a proxy if it is to fail, which then hits all connections.
    pub(crate) fn new(broker: SocketAddr, fails: bool) -> Result<Network, String> {
        if !fails {
            return Ok(Network { address: broker, proxy: None, _runtime: None });
        }
        let problem = |error: std::io::Error| format!("starting the proxy: {error}");
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().map_err(problem)?;
        let proxy = runtime.block_on(Proxy::start(broker, Choice::ALL)).map_err(problem)?;
        Ok(Network { address: proxy.address(), proxy: Some(proxy), _runtime: Some(runtime) })
    }

    /// From now on, until [`Fault::None`].
    pub(crate) fn set(&self, fault: Fault) {
        self.proxy().set(fault);
    }

    /// Once, for the connections that there are.
    pub(crate) fn strike(&self, fault: Fault) {
        self.proxy().strike(fault);
    }

    /// Connections that a fault has hit.
    pub(crate) fn hits(&self) -> u64 {
        let Counts { cuts, half_open, stalls, resets, slowed, .. } = self.proxy().counts();
        cuts + half_open + stalls + resets + slowed
    }

    fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("faults of the network need the proxy")
    }
}
