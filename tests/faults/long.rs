//! The cells in which the agent has to find out by waiting, of all families at once.

use tokio::join;

use crate::runner::hold_long;
use crate::{broker, clock, controller, disk, dns, memory, network, proxy, service, signals};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_long_cell_holds() {
    join!(
        hold_long::<service::Fails>(),
        hold_long::<network::Fails>(),
        hold_long::<broker::Fails>(),
        hold_long::<controller::Fails>(),
        hold_long::<dns::Fails>(),
        hold_long::<proxy::Fails>(),
        hold_long::<clock::Fails>(),
        hold_long::<disk::Fails>(),
        hold_long::<memory::Fails>(),
        hold_long::<signals::Comes>(),
    );
}
