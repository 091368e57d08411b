//! The connected socket of a controller, with all that is given back when it is closed.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::gate::Passage;
use super::seat::Seat;
use crate::socket;

/// A TCP connection, its place at the route's gate and its seat.
pub struct Wire {
    /// The connection itself.
    pub stream: TcpStream,
    seat: Seat,
    _passage: Passage,
}

impl Wire {
    /// A connection that has just been made.
    pub fn new(stream: TcpStream, seat: Seat, passage: Passage) -> Wire {
        Wire {
            stream,
            seat,
            _passage: passage,
        }
    }

    /// Bytes that one write may have.
    pub fn piece(&self) -> usize {
        self.seat.piece()
    }

    /// Writes once; `slices` are one piece at most. Each write ends a record of TCP, so that the kernel begins a segment
    /// of its own for the next one, which is when it looks at its bounds. On the network nothing of it is to be seen.
    pub fn poll_write(
        &self,
        slices: &[IoSlice<'_>],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let write = || socket::send_record(&self.stream, slices);
            match self.stream.try_io(Interest::WRITABLE, write) {
                // It was not ready after all. tokio has noted that; the next question waits for the kernel.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::task::Waker;
    use std::time::Duration;

    use nix::sys::socket::GetSockOpt as _;
    use nix::{getsockopt_impl, libc, sockopt_impl};
    use tokio::net::TcpSocket;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::limits::{
        BULK_MAX, BULK_PIECE, BULK_RECEIVED, BULK_SENT, CONTROLLER_SEGMENT, NARROW_PIECE,
        NARROW_RECEIVED, NARROW_SENT, WIDE_MAX, WIDE_PIECE, WIDE_RECEIVED, WIDE_SENT,
        queue_received, queue_sent,
    };
    use crate::relay::gate::{Admission, Gate};
    use crate::relay::seat::Seats;

    sockopt_impl!(
        /// What the kernel holds for a socket; first what came and is unread, sixth what is to go out. Source:
        /// linux/sock_diag.h.
        Held, GetOnly, libc::SOL_SOCKET, libc::SO_MEMINFO, [u32; 9]);

    fn seat(seats: &Rc<Seats>) -> Seat {
        match seats.poll_take(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(seat) => seat,
            Poll::Pending => panic!("a seat is free"),
        }
    }

    /// A wire with the next seat, and the controller's end of it.
    async fn wire(seats: &Rc<Seats>) -> (Wire, TcpStream) {
        let mut cx = Context::from_waker(Waker::noop());
        let seat = seat(seats);
        let Poll::Ready(passage) = Admission::poll_enter(&Gate::new(1), &mut cx) else {
            panic!("nobody is connected");
        };
        // A controller with little room, so that it is the wire that fills.
        let listener = TcpSocket::new_v4().expect("a socket");
        socket::bound_received(&listener, 4096).expect("an option of Linux");
        let any = ([127, 0, 0, 1], 0).into();
        listener.bind(any).expect("a port");
        let listener = listener.listen(1).expect("it is bound");
        let there = listener.local_addr().expect("bound");
        let socket = TcpSocket::new_v4().expect("a socket");
        seat.bound(&socket).expect("options of Linux");
        socket::bound_segments(&socket, CONTROLLER_SEGMENT).expect("an option of Linux");
        let stream = socket.connect(there).await.expect("it listens");
        let far = listener.accept().await.expect("somebody connected").0;
        (Wire::new(stream, seat, passage), far)
    }

    fn held(stream: &TcpStream) -> (usize, usize) {
        let held = Held.get(stream).expect("Linux 4.12 or newer");
        (held[0] as usize, held[5] as usize)
    }

    /// Both ends write until nothing moves any more; tells how many bytes the wire took, and what the kernel holds.
    async fn filled(wire: &Wire, far: &TcpStream, piece: usize) -> (usize, (usize, usize)) {
        let bytes = vec![7; wire.piece().min(piece)];
        let (mut written, mut moved) = (0, Instant::now());
        while moved.elapsed() < Duration::from_millis(300) {
            let write =
                |cx: &mut Context<'_>| Poll::Ready(wire.poll_write(&[IoSlice::new(&bytes)], cx));
            if let Poll::Ready(count) = poll_fn(write).await {
                written += count.expect("connected");
                moved = Instant::now();
            } else if far.try_write(&bytes).is_ok() {
                moved = Instant::now();
            } else {
                sleep(Duration::from_millis(1)).await;
            }
        }
        (written, held(&wire.stream))
    }

    #[tokio::test]
    async fn the_kernel_holds_no_more_than_the_sums_say() {
        let seats = Seats::new();
        let bulk = (BULK_PIECE, BULK_SENT, BULK_RECEIVED);
        let wide = (WIDE_PIECE, WIDE_SENT, WIDE_RECEIVED);
        let narrow = (NARROW_PIECE, NARROW_SENT, NARROW_RECEIVED);
        // As much as one write may have, blocks of KRterm, small ones.
        for size in [usize::MAX, 2960, 700] {
            let first = wire(&seats).await;
            let mut others: Vec<Seat> = (1..BULK_MAX).map(|_| seat(&seats)).collect();
            let second = wire(&seats).await;
            others.extend((1..WIDE_MAX).map(|_| seat(&seats)));
            let last = wire(&seats).await;
            for ((wire, far), (piece, sent, received)) in
                [(first, bulk), (second, wide), (last, narrow)]
            {
                let (written, (unread, queued)) = filled(&wire, &far, size).await;
                println!(
                    "writes of {size}, {piece} at most: {written} went out, {queued} are held, {unread} unread"
                );
                assert!(queued > sent, "it is not full");
                assert!(queued <= queue_sent(sent, piece));
                assert!(unread > received / 2, "nothing came");
                assert!(unread <= queue_received(received));
            }
        }
    }
}
